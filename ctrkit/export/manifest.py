"""assets.extra/ctrkit.json: what an exported model is, and rows whose scores prove that a server computes it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.errors import ArtifactError

FORMAT_VERSION = 2
READABLE = (1, FORMAT_VERSION)  # 1: before XLA, so nothing is compiled.
MANIFEST_PATH = Path("assets.extra", "ctrkit.json")
INDEX_PATH = Path("assets", "feature_index")
WARMUP_PATH = Path("assets.extra", "tf_serving_warmup_requests")  # TensorFlow Serving's own name.


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Rows and their scores by the Keras model at the time of the export.

    `ids` is `width` integers a row; `scores` one click probability a row, exact float32 values.
    """

    ids: tuple[tuple[int, ...], ...]
    scores: tuple[float, ...]

    @classmethod
    def of(cls, ids: np.ndarray, scores: np.ndarray) -> Golden:
        return cls(ids=tuple(tuple(map(int, row)) for row in ids), scores=tuple(float(s) for s in scores.reshape(-1)))

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """`int32 [n, width]` and `float32 [n, 1]`."""
        return np.array(self.ids, dtype=np.int32), np.array(self.scores, dtype=np.float32).reshape(-1, 1)


@dataclass(frozen=True, kw_only=True)
class XlaChoice:
    """Which signatures XLA compiles, and why."""

    asked: bool | str = False  # `ExportOptions.xla`.
    reason: str = "not asked for"  # For people.
    # Signature -> rows of a request -> CPU milliseconds of one request on the exporting machine, median of turns taken.
    milliseconds: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)  # …: "plain" and "compiled".


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The description of an exported model; its version is the name of its directory."""

    model: str  # The Keras model's name.
    fingerprint: str  # Of the feature index that travels inside.
    width: int  # Columns of `ids`.
    user_width: int  # Leading columns that `user_ids` holds; the rest are `item_ids`.
    signatures: dict[str, tuple[str, ...]]  # Name -> names of its inputs.
    named_inputs: dict[
        str, str
    ]  # Feature -> its input of signature `named`; they differ where TensorFlow forbids a name.
    rank_form: str  # "broadcast": the user's half is computed once; "tiled": once a candidate.
    rank_reason: str  # Why that form, for people.
    out_of_range: str  # Who sends ids out of range to the OOV row: "model" or "export", in the graph either way.
    parameters: int  # Numbers in the variables that scoring reads.
    buckets: tuple[int, ...]  # Rows per warmup request, for each signature.
    rows_from: str  # Where warmup and golden rows come from: "records", or "made up" when none were given.
    golden: Golden
    created: str  # ISO 8601, UTC.
    versions: dict[str, str]  # Package -> version at the time of the export.
    # Signature compiled by XLA -> the batch sizes to send; each other size costs a compilation, 0.1 s and more.
    compiled: dict[str, tuple[int, ...]] = field(default_factory=dict)
    xla: XlaChoice = field(default_factory=XlaChoice)

    @property
    def item_width(self) -> int:
        return self.width - self.user_width

    def save(self, directory: Path) -> None:
        """Write into a SavedModel's directory that nobody sees yet."""
        described = {"format": "ctrkit export", "format_version": FORMAT_VERSION, **dataclasses.asdict(self)}
        path = directory / MANIFEST_PATH
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(described, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> Manifest:
        """Read from a SavedModel's directory. Raises `ArtifactError`."""
        path = directory / MANIFEST_PATH
        try:
            described = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read {path}: {error}. Export the model again with `ctrkit export`.") from error
        found = described.get("format_version") if isinstance(described, dict) else None
        if found not in READABLE:
            known = " and ".join(map(str, READABLE))
            newer = isinstance(found, int) and found > FORMAT_VERSION
            raise ArtifactError(
                f"{path} has format version {found}, this ctrkit reads {known}. "
                + ("Install a newer ctrkit, or e" if newer else "E")
                + "xport the model again with `ctrkit export`."
            )
        try:
            return cls._of(described)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{path} is not whole ({error!r}). Export the model again with `ctrkit export`."
            ) from error

    @classmethod
    def _of(cls, described: dict[str, Any]) -> Manifest:
        since_2: dict[str, Any] = {"compiled": {}, "xla": {}} if described["format_version"] == 1 else {}
        described = {**since_2, **described}
        values = {f.name: described[f.name] for f in dataclasses.fields(cls)}
        golden = values["golden"]
        values["golden"] = Golden(ids=tuple(map(tuple, golden["ids"])), scores=tuple(golden["scores"]))
        values["signatures"] = {name: tuple(inputs) for name, inputs in values["signatures"].items()}
        values["buckets"] = tuple(values["buckets"])
        values["compiled"] = {name: tuple(sizes) for name, sizes in values["compiled"].items()}
        values["xla"] = XlaChoice(**values["xla"])
        return cls(**values)
