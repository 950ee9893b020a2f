"""Do click rates of values, beside their embeddings, help the models of the zoo, and what do they cost?

    CTRKIT_DATA=data python experiments/benchmarks/click_rates.py [--datasets criteo frappe movielens] [--seeds 3]

Each model with the experiment's own settings, with and without `model.click_rates=10`. What is done is kept in
`--work`: killed and typed again, it goes on. On one core some eight minutes for Criteo, six for Frappe, ten for
MovieLens.
"""

from __future__ import annotations

from collections.abc import Sequence

from dots import draw_dots
from trials import Trials, Words, arguments, report

# A cross matrix of 688 x 688 weights in two factors; each of an ensemble's networks is a small one.
MODELS: dict[str, dict[str, Words]] = {
    "criteo": {
        "wide_deep": (),
        "deepfm": (),
        "dcn_v2": ("model.rank=32",),
        "wide_deep_ensemble": ("model.dim=4",),
    },
    "frappe": {"deepfm": (), "wide_deep": ()},
    "movielens": {"deepfm": (), "wide_deep": ()},
}
STRENGTH = "model.click_rates=10"


def arms_of(experiment: str, models: Sequence[str]) -> dict[str, Words]:
    """Each model twice: as it is, and with rates."""
    arms = {}
    for model in models:
        words = (f"model={model}", *MODELS[experiment][model])
        arms[model] = words
        arms[f"{model} + rates"] = (*words, STRENGTH)
    return arms


def main() -> None:
    options = arguments(__doc__, list(MODELS))
    trials = Trials(options.work)
    panels = {}
    for experiment in options.datasets:
        models = list(MODELS[experiment])
        panels[experiment] = {}
        for model in models:
            panels[experiment] |= report(trials, experiment, arms_of(experiment, [model]), options.seeds, beside=model)
    if options.plot is not None:
        beside = [next(iter(MODELS[experiment])) for experiment in panels]
        draw_dots(options.plot, panels, headline="Do click rates help?", unit="test AUC", beside=beside)


if __name__ == "__main__":
    main()
