"""`ctrkit serving-config`: what a team deploys for the real TensorFlow Serving."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.instantiating import make
from ctrkit.commands.workspace import find_run, latest_export

FOLDER = "deployment"  # In a run's folder, beside `export`.


def run(config: DictConfig) -> None:
    """Write the files for the run's latest export and say how they are used."""
    run_dir = find_run(config)
    folder = write_files(config, latest_export(run_dir))
    say(f"next: docker compose -f {folder / 'docker-compose.yml'} up, or kubectl apply -f {folder / 'kubernetes.yaml'}")


def write_files(config: DictConfig, exported: Path) -> Path:
    """Write them beside the folder of versions; returns their folder."""
    from ctrkit.export import open_exported
    from ctrkit.serving.deployment import DeployedModel, write_deployment

    manifest = open_exported(exported).manifest
    options = make(config.deployment)
    model = DeployedModel(
        name=str(config.name),
        parameters=manifest.parameters,
        buckets=manifest.buckets,
        compiled=tuple(manifest.compiled),
    )
    folder = exported.parents[1] / FOLDER
    written = write_deployment(folder, model, options, exports=exported.parent, force=bool(config.force))
    say(f"wrote {', '.join(path.name for path in written)} to {folder}")
    if model.compiled and not options.batching:
        sizes = ", ".join(map(str, model.buckets))
        say(f"  XLA compiles {', '.join(model.compiled)} for {sizes} rows: clients must send requests of these sizes")
    return folder
