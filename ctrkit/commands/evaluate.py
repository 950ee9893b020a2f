"""`ctrkit evaluate`: a trained run on held-out rows, with plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say, table
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.train import build
from ctrkit.commands.workspace import check_part, find_run, finite, hint, plain, run_config, save_figure
from ctrkit.errors import ArtifactError

if TYPE_CHECKING:
    from ctrkit.analysis import Interval, ScoredPart
    from ctrkit.indexing import Field
    from ctrkit.records import Prepared, Records
    from ctrkit.training import Evaluation


def run(config: DictConfig) -> None:
    """Evaluate and say what to do next."""
    run_dir = find_run(config)
    evaluate_run(config, run_dir)
    say(f"next: ctrkit export {hint(config)}")


def evaluate_run(config: DictConfig, run_dir: Path) -> dict[str, float]:
    """Score a part of the records with the run's best weights.

    Writes `evaluation_PART.json`, `scores_PART.npz` and the plots into the run's folder, and logs the figures.
    """
    from ctrkit.analysis import calibration_figure, roc_figure, sliced_fields
    from ctrkit.training import evaluate

    part = check_part(config.part)
    prepared, model = load_run(config, run_dir)
    records = part_of(prepared, part)
    fields = sliced_fields(prepared.index, plain(config.card.slices))
    say(f"run {run_dir.name}, part {part}: {records.rows:,} rows")
    with tracked_run(config, run_dir) as tracker:
        found = evaluate(model, records, keep=[field.start for field in fields])
        judged = judge(part, found, prepared, fields, top=int(config.card.top))
        figures = {
            "roc": roc_figure(found.labels, found.scores, found.weights, interval=_interval(judged, "auc")),
            "calibration": calibration_figure(found.labels, found.scores, found.weights),
        }
        for name, figure in figures.items():
            picture = run_dir / f"{part}_{name}.png"
            save_figure(figure, picture)
            tracker.log_file(picture, "figures")
        tracker.log_metrics({f"{part}_{name}": value for name, value in found.metrics.items()})
        _scored_part(part, found, prepared, records).save(run_dir)
        write_json(run_dir / f"evaluation_{part}.json", finite(judged))
        update_card(config, run_dir, tracker)
    say(_told(judged))
    say(f"  plots and card.html in {run_dir}")
    return dict(found.metrics)


def judge(part: str, found: Evaluation, prepared: Prepared, fields: list[Field], *, top: int) -> dict[str, Any]:
    """What `evaluation_PART.json` holds: metrics with 95% intervals, and those of slices.

    Where the records have groups they are what the intervals take to be drawn: a user's rows are alike.
    """
    from ctrkit.analysis import auc_interval, metric_intervals, slices

    columns = (found.labels, found.scores, found.weights, found.groups)
    intervals = metric_intervals(*columns)
    delong = auc_interval(found.labels, found.scores, found.weights)
    ids = np.empty((len(found.labels), 0), np.int32) if found.ids is None else found.ids
    return {
        "part": part,
        "metrics": found.metrics,
        "auc_95": [delong.low, delong.high],
        "intervals": {name: [one.low, one.high] for name, one in intervals.items()},
        "drawn": "rows" if found.groups is None else str(prepared.schema.group),
        "slices": [one.as_json() for one in slices(ids, fields, prepared.index, *columns, top=top)],
    }


def _interval(judged: dict[str, Any], name: str) -> Interval | None:
    """What was judged already, so that a picture says the same as the table beside it."""
    from ctrkit.analysis import Interval

    bounds = judged["intervals"].get(name)
    return None if bounds is None else Interval(judged["metrics"][name], *bounds)


def _told(judged: dict[str, Any]) -> str:
    rows = []
    for name, value in judged["metrics"].items():
        interval = judged["intervals"].get(name)
        between = "" if interval is None else f"  {interval[0]:.5g} to {interval[1]:.5g}"
        rows.append((name, (f"{value:,}" if name == "rows" else f"{value:<9.5g}") + between))
    return f"{table(rows)}\n  intervals: 95%, {judged['drawn']} drawn again"


def _scored_part(part: str, found: Evaluation, prepared: Prepared, records: Records) -> ScoredPart:
    from ctrkit.analysis import ScoredPart

    return ScoredPart(
        part=part,
        labels=found.labels,
        scores=found.scores,
        weights=found.weights,
        groups=found.groups,
        records=records.manifest.checksum,
        log=prepared.log_checksum,
        fingerprint=prepared.fingerprint,
    )


def load_run(config: DictConfig, run_dir: Path) -> tuple[Prepared, Any]:
    """The records that a run was trained on and its model with the best weights."""
    from ctrkit.records import Prepared
    from ctrkit.training import load_weights

    prepared = Prepared.open(run_dir.parents[1])
    model = build(run_config(run_dir), prepared)
    load_weights(model, run_dir, fingerprint=prepared.fingerprint)
    return prepared, model


def part_of(prepared: Prepared, part: str) -> Records:
    """The records of a part. Raises `ArtifactError` when the split left it empty."""
    records: Records | None = getattr(prepared, part)
    if records is None:
        raise ArtifactError(f"The records have no {part} part. Prepare with data.split.{part}=0.1, or type part=train.")
    return records
