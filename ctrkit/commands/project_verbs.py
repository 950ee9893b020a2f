"""What the verbs that set a project up are for and how they are used."""

from __future__ import annotations

from ctrkit.commands.verb import Verb

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
