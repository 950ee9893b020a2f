"""How long should embeddings be, and from how many rows on should a value have its own?

    CTRKIT_DATA=data python experiments/benchmarks/embeddings.py [--datasets criteo movielens] [--seeds 3]

One option is changed at a time; all else stays as the experiment has it. What is done is kept in `--work`: killed and
typed again, it goes on. On one core about four minutes for Criteo, ten for MovieLens.
"""

from __future__ import annotations

from dots import draw_dots
from trials import Trials, Words, arguments, report

OWN: dict[str, Words] = {"criteo": ("model=wide_deep",), "movielens": ("model=deepfm",)}
DIMS = {"criteo": (4, 8, 16, 32), "movielens": (4, 8, 16)}
OWN_DIM = {"criteo": 16, "movielens": 8}
MIN_COUNTS = {"criteo": (1, 2, 4, 8, 16), "movielens": (1, 2, 10)}
OWN_MIN_COUNT = {"criteo": 4, "movielens": 2}
COLUMN = {"criteo": "C{1..26}", "movielens": "schema.features.movie_id"}


def dims(experiment: str) -> dict[str, Words]:
    """Settings by length of the embeddings."""
    own = OWN[experiment]
    return {f"dim {dim}": own if dim == OWN_DIM[experiment] else (*own, f"model.dim={dim}") for dim in DIMS[experiment]}


def min_counts(experiment: str) -> dict[str, Words]:
    """Settings by the count that gives a value a row of its own."""
    own, column = OWN[experiment], COLUMN[experiment]
    return {
        f"min_count {count}": own if count == OWN_MIN_COUNT[experiment] else (*own, f"{column}.min_count={count}")
        for count in MIN_COUNTS[experiment]
    }


def main() -> None:
    options = arguments(__doc__, list(OWN))
    trials = Trials(options.work)
    panels, beside = {}, []
    for experiment in options.datasets:
        for arms, own in (
            (dims(experiment), f"dim {OWN_DIM[experiment]}"),
            (min_counts(experiment), f"min_count {OWN_MIN_COUNT[experiment]}"),
        ):
            panels[f"{experiment}, {own.split()[0]}"] = report(trials, experiment, arms, options.seeds, beside=own)
            beside.append(own)
    if options.plot is not None:
        draw_dots(options.plot, panels, headline="How many weights does a value need?", unit="test AUC", beside=beside)


if __name__ == "__main__":
    main()
