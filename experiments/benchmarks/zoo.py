"""Which model of the zoo wins on Criteo, Frappe and MovieLens-1M, with as many tries for each?

    CTRKIT_DATA=data python experiments/benchmarks/zoo.py [--datasets criteo frappe movielens] [--seeds 3]

For each model the same settings are tried with one seed, and the one with the least validation log loss is trained
with others. What is done is kept in `--work`: killed and typed again, it goes on. On one core about four minutes for
Criteo, six for Frappe and eight for MovieLens.
"""

from __future__ import annotations

from collections.abc import Sequence

from dots import draw_dots
from trials import Trials, Words, arguments, report

from ctrkit.models.build import ZOO

# What is tried for every model, beside the experiment's own settings (the empty one): other lengths
# of step. (A weight of l2 of a tenth changes nothing at all.) On the larger logs a try is dearer, so there are fewer.
TRIED: dict[str, tuple[Words, ...]] = {
    "criteo": (
        (),
        ("training.table_learning_rate=0.01",),
        ("training.table_learning_rate=0.02",),
        ("training.table_learning_rate=0.08",),
    ),
    "frappe": ((), ("training.table_learning_rate=0.05",)),
    "movielens": ((),),
}
# A cross matrix of 688 x 688 weights in two factors; each of an ensemble's networks is a small one.
FITTED: dict[tuple[str, str], Words] = {
    ("criteo", "dcn_v2"): ("model.rank=32",),
    ("criteo", "wide_deep_ensemble"): ("model.dim=4",),
    ("frappe", "wide_deep_ensemble"): ("model.dim=4",),
    ("movielens", "wide_deep_ensemble"): ("model.dim=4",),
}
BESIDE = {"criteo": "wide_deep", "frappe": "deepfm", "movielens": "deepfm"}  # The experiments' own models.


def chosen(trials: Trials, experiment: str, models: Sequence[str]) -> dict[str, Words]:
    """Each model with the setting that was best for it."""
    arms = {}
    for model in models:
        own = (f"model={model}", *FITTED.get((experiment, model), ()))
        arms[model] = trials.best(experiment, [(*own, *tried) for tried in TRIED[experiment]])
    return arms


def main() -> None:
    options = arguments(__doc__, list(TRIED), models=list(ZOO))
    trials = Trials(options.work)
    panels = {}
    for experiment in options.datasets:
        arms = chosen(trials, experiment, options.models)
        panels[experiment] = report(trials, experiment, arms, options.seeds, beside=BESIDE[experiment])
        print()
        for model, words in arms.items():
            print(f"{model}: {' '.join(words)}")
    if options.plot is not None:
        beside = [BESIDE[experiment] for experiment in panels]
        draw_dots(options.plot, panels, headline="Which model of the zoo wins?", unit="test AUC", beside=beside)


if __name__ == "__main__":
    main()
