"""What `doctor` teaches, as plain text."""

from __future__ import annotations

from ctrkit.commands.verb import RUN, WHERE, Verb

DOCTOR = Verb(
    name="doctor",
    summary="doubt a log, and the index, records and tables made of it",
    text=(
        "Reads the log in bounded memory and tells, by feature and by day: missing, out-of-vocabulary and unseen\n"
        "values, drift between two windows (Jensen-Shannon divergence, in bits), constant and near-unique features,\n"
        "features that leak the label (AUC of one alone, on held-out halves), duplicated rows, jumps of the label\n"
        "rate, growth of vocabularies. After `prepare` and `train`, also ids out of range and rows of the tables that\n"
        "were never trained. A feature that is one value a day (a weekday) does not count as drifting.\n"
        "Writes work_dir/doctor/doctor.html and doctor.json. Exit status: 0 nothing found, 3 findings, 1 an error."
    ),
    examples=(
        "ctrkit doctor experiment=mine",
        "ctrkit doctor schema=mine data=files data.path='logs/today.csv' name=mine doctor.log_only=true",
        "ctrkit doctor experiment=mine doctor.drift=0.2 doctor.ignore=[request_id] || notify",
    ),
    keys={
        **WHERE,
        **RUN,
        "data.path=FILES": "the log",
        "doctor.log_only=true": "leave aside index, records and run",
        "doctor.reference=SHARE": "of the rows, the earliest: what the later ones are compared with (0.5)",
        "doctor.CHECK=X": "a threshold, null for no check: drift, missing, oov, unseen, leak, ..; conf/doctor",
        "doctor.ignore=[FEATURE,..]": "features that nothing is said of",
    },
    groups=("experiment", "schema", "data", "doctor"),
)
