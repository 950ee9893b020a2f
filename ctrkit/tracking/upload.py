"""Send what was kept beside a run while its store was down."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ctrkit.tracking.delivery import deliver_buffer
from ctrkit.tracking.events import Buffer
from ctrkit.tracking.location import locate
from ctrkit.tracking.store import Store

BUFFER_FOLDER = "tracking"  # In the folder of a run.


def has_buffered(run_dir: str | os.PathLike[str]) -> bool:
    """Whether `run_dir`, or its `tracking/` folder, keeps what no store has."""
    return _buffer(Path(run_dir)).exists()


def upload_buffered(run_dir: str | os.PathLike[str], *, uri: str | None = None) -> str:
    """Deliver the events kept in `run_dir` (or in its `tracking/` folder) to their store, and delete them.

    Args:
        uri: another store than the one that the run was meant for.
    Returns:
        The id of the run, created in the store where it did not exist.
    Raises:
        ArtifactError: nothing is kept there, or it cannot be read.
        TrackingError: the store does not answer; everything is still kept.
    """
    buffer = _buffer(Path(run_dir))
    written, events = buffer.read()
    store = Store(locate(uri if uri is not None else written.uri))
    header = store.open_run(replace(written, uri=store.location.uri))
    run_id = deliver_buffer(buffer, store, header=header).run_id
    assert run_id is not None
    ends = [event for event in events if event.kind == "end"]
    if ends:
        store.deliver(run_id, ends[-1], buffer)
    buffer.tidy()
    return run_id


def _buffer(folder: Path) -> Buffer:
    return Buffer(folder / BUFFER_FOLDER if (folder / BUFFER_FOLDER).is_dir() else folder)
