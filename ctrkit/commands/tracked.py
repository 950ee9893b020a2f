"""Open the tracked run that belongs to a run's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

if TYPE_CHECKING:
    from ctrkit.tracking import ApartStore, Run


@contextlib.contextmanager
def store_beside(config: DictConfig) -> Iterator[ApartStore | None]:
    """Have a process of its own open the configured store beside what comes next; None where that saves nothing."""
    from ctrkit.tracking import locate, store_apart

    if not config.tracking.enabled:
        yield None
        return
    with store_apart(locate(config.tracking.uri, work_root=str(config.root))) as store:
        yield store


def tracked_run(
    config: DictConfig,
    run_dir: Path,
    *,
    attach: bool = True,
    tags: dict[str, Any] | None = None,
    store: ApartStore | None = None,
) -> Run:
    """The tracked run of `run_dir`; with `attach` its status stays what the training made it."""
    from ctrkit.tracking import TrackingOptions, start_run

    tracking = config.tracking
    return start_run(
        str(tracking.experiment),
        run_dir.name,
        uri=tracking.uri,
        work_root=str(config.root),
        run_dir=run_dir,
        attach=attach,
        tags=tags,
        seeds={"seed": int(config.seed)},
        options=TrackingOptions(enabled=bool(tracking.enabled)),
        store=store,
    )
