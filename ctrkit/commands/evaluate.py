"""`ctrkit evaluate`: a trained run on held-out rows, with plots."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say, table
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.train import build
from ctrkit.commands.workspace import check_part, find_run, hint, run_config, save_figure
from ctrkit.errors import ArtifactError

if TYPE_CHECKING:
    from ctrkit.analysis import ScoredPart
    from ctrkit.records import Prepared, Records
    from ctrkit.training import Evaluation


def run(config: DictConfig) -> None:
    """Evaluate and say what to do next."""
    run_dir = find_run(config)
    evaluate_run(config, run_dir)
    say(f"next: ctrkit export {hint(config)}")


def evaluate_run(config: DictConfig, run_dir: Path) -> dict[str, float]:
    """Score a part of the records with the run's best weights; writes figures and `evaluation.json`."""
    from ctrkit.analysis import auc_interval, calibration_figure, roc_figure
    from ctrkit.training import evaluate

    part = check_part(config.part)
    prepared, model = load_run(config, run_dir)
    records = part_of(prepared, part)
    say(f"run {run_dir.name}, part {part}: {records.rows:,} rows")
    with tracked_run(config, run_dir) as tracker:
        found = evaluate(model, records)
        figures = {
            "roc": roc_figure(found.labels, found.scores, found.weights),
            "calibration": calibration_figure(found.labels, found.scores, found.weights),
        }
        for name, figure in figures.items():
            save_figure(figure, run_dir / f"{part}_{name}.png")
            tracker.log_figure(f"{part}_{name}", figure)
        tracker.log_metrics({f"{part}_{name}": value for name, value in found.metrics.items()})
        interval = auc_interval(found.labels, found.scores, found.weights)
        _scored_part(part, found, prepared, records).save(run_dir)
        write_json(
            run_dir / f"evaluation_{part}.json",
            {"part": part, "metrics": found.metrics, "auc_95": [interval.low, interval.high]},
        )
        update_card(config, run_dir, tracker)
    say(table([(name, f"{value:.5g}") for name, value in found.metrics.items()]))
    say(f"  AUC is between {interval.low:.4f} and {interval.high:.4f} with 95% confidence (DeLong)")
    say(f"  plots in {run_dir}")
    return dict(found.metrics)


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
