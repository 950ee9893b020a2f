"""Begin a tracked run, or go on with one."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctrkit.errors import TrackingError
from ctrkit.tracking import environment
from ctrkit.tracking.apart import ApartStore
from ctrkit.tracking.delivery import Delivery
from ctrkit.tracking.events import Buffer, RunHeader
from ctrkit.tracking.location import locate, without_password
from ctrkit.tracking.options import TrackingOptions
from ctrkit.tracking.parameters import TAG_LENGTH, key_of, shorten
from ctrkit.tracking.run import Run, linked_run
from ctrkit.tracking.store import Store
from ctrkit.tracking.upload import BUFFER_FOLDER

UNSENT_FOLDER = "unsent"  # In the work root: buffers of runs that have no folder of their own.
ENVIRONMENT_FILE = "environment.json"


def start_run(
    experiment: str,
    run_name: str,
    *,
    uri: str | None = None,
    work_root: str | os.PathLike[str] = "artifacts",
    run_dir: str | os.PathLike[str] | None = None,
    run_id: str | None = None,
    attach: bool = False,
    tags: Mapping[str, Any] | None = None,
    seeds: Mapping[str, int] | None = None,
    project: str | os.PathLike[str] = ".",
    options: TrackingOptions | None = None,
    store: ApartStore | None = None,
) -> Run:
    """Begin a run called `run_name`; use it as a context manager, or call its `finish()`.

    The store is `uri`, else that of `options`, else the environment's `MLFLOW_TRACKING_URI`, else SQLite at
    `WORK_ROOT/mlflow.db` with the artifacts beside it. Where it does not answer, one warning is logged and everything
    is kept in `RUN_DIR/tracking/`, for `upload_buffered`.

    Args:
        run_dir: the run's own folder. It gets `tracking.json` (id and page); a folder that was tracked in the same
            store before goes on with the same run.
        run_id: a run to go on with, whatever `run_dir` says.
        attach: add to a run without changing its status, e.g. an evaluation of a finished training.
        seeds: by name, logged with the environment (git revision, package versions, machine).
        project: a folder of the user's project, whose git revision is logged.
        store: the same store from `store_apart`, which outlives the run; None: MLflow is imported in this process.
    Raises:
        TrackingError: no such kind of store, `store` is another one, or the experiment was deleted in it.
    """
    options = TrackingOptions() if options is None else options
    if not options.enabled:
        return Run(None)
    location = locate(options.uri if uri is None else uri, work_root=work_root)
    if store is not None and store.location != location:
        raise TrackingError(f"Got an open store {store.shown}, expected {without_password(location.uri)}.")
    folder = None if run_dir is None else Path(run_dir)
    if run_id is None and folder is not None:
        run_id = linked_run(folder, location.uri)
    buffer = Buffer(_buffer_folder(folder, Path(work_root), run_name))
    if run_id is None and buffer.exists():
        run_id = buffer.read()[0].run_id
    facts = environment.describe(project)
    header = RunHeader(
        experiment=experiment,
        run_name=run_name,
        started=int(time.time() * 1000),
        tags={key_of(k): shorten(str(v), TAG_LENGTH) for k, v in {**_standard_tags(facts), **(tags or {})}.items()},
        run_id=run_id,
        attached=attach,
        uri=location.uri,
    )
    run = Run(Delivery(header, store or Store(location), buffer, options), run_dir=folder, attached=attach)
    run.start()
    if not attach:
        run.log_dict({**facts, "seeds": dict(seeds or {})}, ENVIRONMENT_FILE)
        if run_id is not None:  # A new run got its tags when it was created.
            run.set_tags(header.tags)
    return run


def _buffer_folder(run_dir: Path | None, work_root: Path, run_name: str) -> Path:
    if run_dir is not None:
        return run_dir.absolute() / BUFFER_FOLDER
    name = "".join(c if c.isalnum() or c in "-_." else "_" for c in run_name)
    return work_root.absolute() / UNSENT_FOLDER / f"{name}-{os.getpid()}-{time.time_ns() // 1_000_000}"


def _standard_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """Tags under the names that MLflow's own pages know."""
    tags = {
        "mlflow.user": environment.user(),
        "mlflow.source.name": without_password(Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "python"),
        "mlflow.source.type": "LOCAL",
        "ctrkit.version": str(facts["packages"].get("ctrkit", "unknown")),
    }
    git = facts["git"]
    if git is not None:
        tags["mlflow.source.git.commit"] = git["revision"]
        tags["ctrkit.git_dirty"] = "true" if git["dirty"] else "false"
        if git["branch"] is not None:
            tags["mlflow.source.git.branch"] = git["branch"]
    return tags
