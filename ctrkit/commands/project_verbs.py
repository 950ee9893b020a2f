"""What the verbs that set a project up are for and how they are used."""

from __future__ import annotations

from ctrkit.commands.verb import Verb

NEW = Verb(
    name="new",
    summary="lay out a project of your own, which trains at once",
    text=(
        "Looks at your log, sketches its schema (see `ctrkit schema infer --help`), and writes a folder: conf/ with\n"
        "an experiment, experiments/, notebooks/, a Keras model of your own, a test. In that folder no verb needs a\n"
        "word about it: `ctrkit train` means the project's experiment. Nothing that is there is overwritten. Without\n"
        "a log, an ad log is made on the spot."
    ),
    examples=(
        "ctrkit new shop log=clicks.csv",
        "ctrkit new movies log='ratings/*.csv.gz' label='rating >= 4'",
        "ctrkit new playground",
    ),
    keys={
        "NAME": "of the folder, the experiment and the served model",
        "log=FILES": "a file or a pattern: CSV, TSV or another separator (also .gz) or Parquet",
        "label=COLUMN|RULE": "not guessed: e.g. label=clicked or label='rating >= 4'",
        "group=COLUMN": "not guessed: the user, for grouped AUC",
        "time=COLUMN": "not guessed: what to split by",
        "rows=N": "of the log that is made where none is given (100,000)",
    },
    groups=(),
    plain=True,
)

CONFIG = Verb(
    name="config",
    summary="the resolved configuration of a command, and where each value came from",
    text=(
        "Composes what the same words would give any other verb, and prints every value with the file that set it:\n"
        "a choice such as training=local, a file of your own conf/, or the command line. A value that was written as\n"
        "another key, as ${seed}, is shown with that. Nothing runs."
    ),
    examples=(
        "ctrkit config experiment=criteo",
        "ctrkit config training data.split experiment=criteo training.epochs=3",
        "ctrkit config experiment=criteo format=json | jq '.\"training.batch_size\"'",
    ),
    keys={
        "PART ...": "only these parts, e.g. training or data.split",
        "format=text|json": "for people (the default) or for tools",
        "experiment=NAME": "the settings to start from; see the list below",
    },
    groups=("experiment", "schema", "data", "model", "training"),
    plain=True,
)

SCHEMA = Verb(
    name="schema",
    summary="sketch what a log's columns mean",
    text="A schema says what the columns of a log mean to a model; `ctrkit schema infer` sketches one for you to mend.",
    examples=("ctrkit schema infer clicks.csv", "ctrkit schema infer 'logs/*.parquet' label='rating >= 4'"),
    verbs=(
        Verb(
            name="schema infer",
            summary="look at a log and write conf/schema/NAME.yaml, with the reason of each choice",
            text=(
                "Reads the log once, in bounded memory: CSV, TSV or another separator (also .gz) or Parquet. Finds\n"
                "the label (0 and 1, two values, a rating, an event), the time, the user and the kind and side of\n"
                "each feature; leaves out what is constant, a row's own id, or tells the label by itself. Every line\n"
                "of the file says why; read it, and mend what is wrong. A file that is there is not overwritten."
            ),
            examples=(
                "ctrkit schema infer clicks.csv",
                "ctrkit schema infer ratings.csv.gz label='rating >= 4' group=user_id out=conf/schema/movies.yaml",
                "ctrkit schema infer 'logs/*.parquet' out=-",
            ),
            keys={
                "LOG ...": "files or patterns",
                "out=FILE": "where to (conf/schema/NAME.yaml, by the log's name); out=- prints it",
                "label=COLUMN|RULE": "not guessed: e.g. label=clicked or label='rating >= 4'",
                "group=COLUMN": "not guessed: the user, for grouped AUC",
                "time=COLUMN": "not guessed: what to split by",
                "force=true": "overwrite the file",
            },
            groups=(),
            plain=True,
        ),
    ),
    groups=(),
)
