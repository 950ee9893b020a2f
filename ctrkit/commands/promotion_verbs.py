"""What `promote` and `rollback` teach, as plain text."""

from __future__ import annotations

from ctrkit.commands.verb import WHERE, Verb

PROMOTE = Verb(
    name="promote",
    summary="register a run's export and make it the champion, if it passes the gates",
    text=(
        "Registers the run's SavedModel in the MLflow registry and moves an alias to it, only when every gate lets it\n"
        "through: scores equal on every path (parity), AUC and log loss not worse than the champion's on the same\n"
        "test rows beyond the interval of their difference (auc, log_loss), predicted over observed clicks in bounds\n"
        "(calibration) and in every slice (slices), the p99 of a rank request in budget (latency), an index that the\n"
        "clients can go on with (index). What was not exported, evaluated, verified or measured yet is done first.\n"
        "\n"
        "Verdicts become tags `gate.*` of the version and of the run, promotion.json and part of the card. A failed\n"
        "gate says how far off it is, with exit status 1; the version stays registered without the alias. The\n"
        "champion of before becomes `previous`. Killed at any moment, type it again."
    ),
    examples=(
        "ctrkit promote --to champion",
        "ctrkit promote 20261123-101500-wide_deep --to challenger",
        "ctrkit promote experiment=criteo run=20261123-101500-wide_deep to=champion promotion.latency_ms=5",
        "ctrkit promote --to champion promotion.auc_margin=0.001 'promotion.pcoc=[0.95,1.05]'",
    ),
    keys={
        "RUN": "a run's folder under work_dir/runs, as run=RUN; by default the latest",
        "--to ALIAS": "champion (default), challenger, or an alias of your own; also to=ALIAS",
        **WHERE,
        "promotion.name=NAME": "the registered model (the experiment's name)",
        "promotion.auc_margin=LOSS": "besides: the interval may hold no greater loss of AUC; .log_loss_margin likewise",
        "promotion.confidence=SHARE": "of the intervals (0.95)",
        "promotion.pcoc=[LOW,HIGH]": "bounds of predicted over observed clicks ([0.9,1.1])",
        "promotion.slice_pcoc=[LOW,HIGH]": "the same for slices with promotion.slice_clicks=N clicks ([0.8,1.25], 50)",
        "promotion.latency_ms=MS": "budget of the p99 of ranking promotion.candidates=N (10 ms, 100)",
        "promotion.allow_new_index=true": "where every client fetches the index from the server",
        "promotion.gates=[parity,auc,..]": "ask only these",
        "part=test|validation": "the rows to compare on (test)",
        "tracking.uri=URI": "the store that holds the registry",
    },
    groups=("experiment", "promotion", "tracking"),
    words={"": "run"},
    flags={"to": "promotion.to"},
)
ROLLBACK = Verb(
    name="rollback",
    summary="make the champion of before the champion again",
    text=(
        "Moves the alias `champion` back to `previous`, after comparing that version's files with its checksum.\n"
        "Servers started by `ctrkit serve models:/NAME@champion` have it within seconds. Typed again it goes back one\n"
        "more. The move is recorded in the tags of the model and of the version that was left."
    ),
    examples=("ctrkit rollback", "ctrkit rollback criteo", "ctrkit rollback criteo tracking.uri=http://mlflow:5000"),
    keys={
        "NAME": "the registered model, as promotion.name=NAME; by default the experiment's name",
        **{key: WHERE[key] for key in ("experiment=NAME",)},
        "tracking.uri=URI": "the store that holds the registry",
    },
    groups=("experiment", "tracking"),
    words={"": "promotion.name"},
)
