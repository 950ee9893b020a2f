"""Bring one version from its folder to the state in which it may answer: loaded, checked, warm."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from ctrkit.errors import CtrkitError, ServingError
from ctrkit.serving.servable import Servable
from ctrkit.serving.versions import SAVED_MODEL_FILE
from ctrkit.serving.warmup import WARMUP_FILE, warmup_records

VARIABLES_INDEX = "variables/variables.index"
PAUSE = 0.001  # Seconds between replayed requests, in which threads that answer get the interpreter.
LOG = logging.getLogger(__name__)

# (the request's bytes, servable, model name): computes the answer as if it had come over the wire.
Answer = Callable[[bytes, Servable, str], object]


@dataclass(frozen=True, kw_only=True)
class VersionLoader:
    """Load a version's directory, check it, and replay its warmup requests: `loader(path, version, model name)`.

    `answers` holds the way that requests of each kind go in this server ("predict_log" -> Predict, "classify_log", …),
    so that what is warmed is what will be run; records of other kinds are skipped, which is logged.
    """

    answers: Mapping[str, Answer]
    require_index: bool = True
    warmup: bool = True
    load_options: Mapping[str, Any] = field(default_factory=dict)  # More keywords of `Servable.load`.
    on_batch: Callable[[str, int, int], None] | None = None  # (model, rows, rows with padding) of each merged run.

    def __call__(self, path: Path, version: int, name: str) -> Servable:
        """Raises `ServingError` or `ArtifactError`; nothing stays loaded then."""
        _check_variables(path)
        on_batch = None if self.on_batch is None else functools.partial(self.on_batch, name)
        servable = Servable.load(
            path, version, require_index=self.require_index, on_batch=on_batch, **self.load_options
        )
        try:
            if self.warmup:
                replay(servable, path, name, self.answers)
        except BaseException:
            servable.close()
            raise
        return servable


def _check_variables(path: Path) -> None:
    """TensorFlow loads a SavedModel without its variables in silence, and fails in the first request."""
    graph = path / SAVED_MODEL_FILE
    if (path / VARIABLES_INDEX).is_file() or not graph.is_file():
        return
    content = graph.read_bytes()
    if b"VarHandleOp" in content or b"VariableV2" in content:
        raise ServingError(
            f"SavedModel {path} has variables in its graph, but no {VARIABLES_INDEX}: it was copied in part. Copy it "
            "again under another name, and rename it when it is whole."
        )


def replay(servable: Servable, path: Path, name: str, answers: Mapping[str, Answer]) -> int:
    """Answer the warmup requests of a SavedModel directory; returns how many there were.

    Raises `ServingError` when the file is damaged or a request fails.
    """
    skipped: dict[str, int] = {}
    number = -1
    for number, record in enumerate(warmup_records(path)):
        answer = answers.get(record.kind)
        if answer is None:
            skipped[record.kind] = skipped.get(record.kind, 0) + 1
            continue
        try:
            answer(record.request, servable, name)
        except (CtrkitError, DecodeError) as error:
            raise ServingError(
                f"{path / WARMUP_FILE}: request {number} failed: {error} Export the model again, or start without "
                "warmup (`--no-warmup`)."
            ) from error
        time.sleep(PAUSE)
    for kind, count in skipped.items():
        LOG.warning(
            "%s: %d warmup records of kind %s are not replayed here.", path / WARMUP_FILE, count, kind or "(none)"
        )
    return number + 1 - sum(skipped.values())
