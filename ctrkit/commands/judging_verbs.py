"""What `card`, `compare`, `rerun` and `upload` teach, as plain text."""

from __future__ import annotations

from ctrkit.commands.verb import WHERE, Verb

_RUN = "a run's name, its folder, or its id in MLflow; by default the latest of the experiment"

CARD = Verb(
    name="card",
    summary="a run's page: question, figures with intervals, slices, plots, data, code, gates",
    text=(
        "Writes card.html and card.json anew from what lies in the run's folder, and logs them. Every verb that adds\n"
        "to a run does so by itself; type it after runs with other seeds were evaluated, to see the interval over\n"
        "seeds.\n"
        "The page is one file: it opens in any browser, on a phone and on paper, and fetches nothing."
    ),
    examples=("ctrkit card experiment=criteo", "ctrkit card 20261123-101500-wide_deep"),
    keys={"RUN": _RUN, **WHERE},
    words={"": "run"},
)
COMPARE = Verb(
    name="compare",
    summary="runs side by side: settings that differ, and whether the metrics do by more than chance",
    text=(
        "Every run is compared with the first on the same rows, row by row: DeLong's test for AUC, the spread of the\n"
        "rows' own differences for log loss. Where the schema names a group (a user), its rows count as drawn\n"
        "together. Runs that were scored on different rows are refused; one that was not evaluated is evaluated first."
    ),
    examples=(
        "ctrkit compare 20261123-101500-wide_deep 20261123-111500-deepfm",
        "ctrkit compare experiment=criteo part=validation RUN RUN RUN",
    ),
    keys={"RUN RUN ..": _RUN.split(";")[0], **WHERE, "part=test|validation|train": "which rows (test)"},
    words={"": "runs"},
)
RERUN = Verb(
    name="rerun",
    summary="train a run again as it was, and say whether every number agrees",
    text=(
        "Takes the run's own configuration and seed, checks that the records are those that it was trained on, trains\n"
        "into a new run, evaluates the same parts and compares every number of the training, its curve and the\n"
        "evaluations. Exit status 0 where all are identical to the last bit, 1 where not. Another commit, version or\n"
        "machine is told."
    ),
    examples=(
        "ctrkit rerun 20261123-101500-wide_deep",
        "ctrkit rerun 3f0c6a1be5a84e1c tracking.uri=http://mlflow:5000",
        "ctrkit rerun 20261123-101500-wide_deep rerun.tolerance=1e-6",
    ),
    keys={
        "RUN": _RUN,
        **WHERE,
        "rerun.tolerance=X": "numbers that differ by at most so much agree (0)",
        "rerun.seed=N": "with another seed: how much of a number is chance?",
    },
    groups=("experiment", "tracking"),
    words={"": "run"},
)
UPLOAD = Verb(
    name="upload",
    summary="send what runs kept while their tracking store was down",
    text=(
        "A training goes on when its store does not answer, and keeps what it has to tell beside the run. A store\n"
        "that comes back meanwhile gets it by itself; this sends the rest. Sent twice is the same as once."
    ),
    examples=(
        "ctrkit upload",
        "ctrkit upload 20261123-101500-wide_deep",
        "ctrkit upload tracking.uri=http://mlflow:5000",
    ),
    keys={
        "RUN": "one run's name or folder; by default all below the root",
        "root=DIR": "where to look (artifacts)",
        "tracking.uri=URI": "another store than the one that the runs were meant for",
    },
    groups=("tracking",),
    words={"": "run"},
)
JUDGING = (CARD, COMPARE, RERUN, UPLOAD)
