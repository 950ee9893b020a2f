"""`ctrkit export`: a trained run -> a SavedModel with its index and warmup requests inside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.commands.card import update_card
from ctrkit.commands.console import say
from ctrkit.commands.evaluate import load_run
from ctrkit.commands.instantiating import make
from ctrkit.commands.serving_config import write_files
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.workspace import find_run, hint

if TYPE_CHECKING:
    from ctrkit.tracking import Run

RUNTIME = (
    "ctrkit.serving.runtime:SavedModelRuntime"  # What scores the MLflow model: seconds faster to load than TensorFlow.
)


def run(config: DictConfig) -> None:
    """Export and say what to do next."""
    run_dir = find_run(config)
    exported = export_run(config, run_dir)
    say(f"exported run {run_dir.name} to {exported}")
    say(f"next: ctrkit verify {hint(config)}")


def export_run(config: DictConfig, run_dir: Path) -> Path:
    """Write the next version below the run's `export/` and log it to MLflow as a model."""
    from ctrkit.export import export_model

    prepared, model = load_run(config, run_dir)
    with tracked_run(config, run_dir) as tracker:
        exported = export_model(
            model,
            prepared.index,
            run_dir / "export",
            records=prepared.test or prepared.validation or prepared.train,
            options=make(config.export),
        )
        _tell_xla(exported, tracker)
        uri = tracker.log_exported_model(
            exported, fingerprint=prepared.fingerprint, name=str(config.name), runtime=RUNTIME
        )
        if uri is not None:
            say(f"logged to MLflow as {uri}")
        update_card(config, run_dir, tracker)
    if config.deployment.with_export:
        write_files(config, exported)
    return exported


def _tell_xla(exported: Path, tracker: Run) -> None:
    """Say what XLA compiles; what was measured goes to the tracked run, one figure for each way and batch size."""
    from ctrkit.export import open_exported

    manifest = open_exported(exported).manifest
    if manifest.xla.asked is False:
        return
    names = ", ".join(manifest.compiled) or "nothing"
    say(f"XLA compiles {names} ({manifest.xla.reason})")
    tracker.set_tags({"ctrkit.xla": names})
    tracker.log_metrics(
        {
            f"export.cpu_ms.{signature}.{rows}.{way}": value
            for signature, sizes in manifest.xla.milliseconds.items()
            for rows, both in sizes.items()
            for way, value in both.items()
        },
        step=int(exported.name),
    )
