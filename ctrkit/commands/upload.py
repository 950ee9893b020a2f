"""`ctrkit upload`: send what runs kept while their tracking store did not answer."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.located import all_runs, locate_run
from ctrkit.errors import TrackingError


def run(config: DictConfig) -> None:
    """Upload one run's, or every run's. Raises `TrackingError` where a store does not answer: all is kept."""
    folders = [_folder(config, str(config.run))] if config.run is not None else kept(config)
    if not folders:
        say(f"nothing below {config.root} waits to be sent")
        return
    from ctrkit.tracking import upload_buffered

    failed = []
    for folder in folders:
        try:
            run_id = upload_buffered(folder, uri=config.tracking.uri)
            say(f"{folder}: sent, run {run_id}")
        except TrackingError as error:
            if len(folders) == 1:
                raise
            failed.append(str(error))
            say(f"{folder}: kept ({error})")
    if failed:
        raise TrackingError(f"{len(failed)} of {len(folders)} runs are still kept; type `ctrkit upload` again later.")


def kept(config: DictConfig) -> list[Path]:
    """Folders of runs below the root, and of runs without one, that hold what no store has."""
    from ctrkit.tracking import has_buffered

    unsent = sorted((Path(config.root) / "unsent").glob("*"))
    return [folder for folder in [*all_runs(config), *unsent] if has_buffered(folder)]


def _folder(config: DictConfig, word: str) -> Path:
    from ctrkit.tracking import has_buffered

    return Path(word) if has_buffered(word) else locate_run(config, word)
