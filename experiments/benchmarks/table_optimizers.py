"""Which optimizer suits the embedding tables, each with a learning rate that was searched for it?

    CTRKIT_DATA=data python experiments/benchmarks/table_optimizers.py [--datasets criteo frappe movielens] [--seeds 3]

For each optimizer its rate is halved and doubled while that lowers the validation log loss of one seed, then the best
is trained with others. What is done is kept in `--work`: killed and typed again, it goes on. On one core about five
minutes for Criteo, eight for Frappe, ten for MovieLens.
"""

from __future__ import annotations

from dots import draw_dots
from trials import Trials, Words, arguments, report

RATE = "training.table_learning_rate"
OWN: dict[str, Words] = {
    "criteo": ("model=wide_deep",),
    "frappe": ("model=deepfm",),
    "movielens": ("model=deepfm", "training.learning_rate_decay=null"),  # FTRL does not go with rates that fall.
}
START = {"criteo": 0.04, "frappe": 0.1, "movielens": 0.05}  # The experiments' own, for Adagrad and its kin FTRL.
NO_ACCUMULATOR = "~training.table_options.initial_accumulator_value"  # Which the other two do not have.
STARTS: dict[str, tuple[Words, float | None]] = {
    "adagrad": ((), None),
    "ftrl": (("training.table_optimizer=ftrl",), None),
    "lazy_adam": (("training.table_optimizer=lazy_adam", NO_ACCUMULATOR), 0.001),
    "sgd": (("training.table_optimizer=sgd", NO_ACCUMULATOR), 1.0),
}


def chosen(trials: Trials, experiment: str) -> dict[str, Words]:
    """Each optimizer with its best rate."""
    return {
        name: trials.best_rate(experiment, (*OWN[experiment], *words), RATE, start or START[experiment])
        for name, (words, start) in STARTS.items()
    }


def main() -> None:
    options = arguments(__doc__, list(OWN))
    trials = Trials(options.work)
    panels = {}
    for experiment in options.datasets:
        arms = chosen(trials, experiment)
        panels[experiment] = report(trials, experiment, arms, options.seeds, beside="adagrad")
        print()
        for name, words in arms.items():
            print(f"{name}: {' '.join(words)}")
    if options.plot is not None:
        beside = ["adagrad"] * len(panels)
        draw_dots(options.plot, panels, headline="Which optimizer for the tables?", unit="test AUC", beside=beside)


if __name__ == "__main__":
    main()
