"""One loaded version of a model: checks a request against the index it was trained with, then computes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.errors import ArtifactError, IndexMismatchError, RequestError, ServingError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.gate import Gate
from ctrkit.serving.runtime import SavedModelRuntime
from ctrkit.serving.signatures import Signature, dtype_name
from ctrkit.serving.versions import INDEX_DIRECTORY
from ctrkit.serving.wire import dtype_number

MANIFEST_FILE = "assets.extra/ctrkit.json"
GOLDEN_TOLERANCE = 1e-5  # Between the scores written by the exporting machine and those of this one.


class Servable:
    """A runtime with the index of its SavedModel; `index` is None for a model that ctrkit did not export."""

    def __init__(
        self,
        *,
        version: int,
        runtime: SavedModelRuntime,
        index: FeatureIndex | None = None,
        named_inputs: Mapping[str, str] | None = None,  # Feature -> its input of signature `named`.
    ) -> None:
        self.version, self.runtime, self.index = version, runtime, index
        self._columns = {} if index is None else _columns(index, named_inputs or {})
        given = named_inputs or {}
        self.input_names = {} if index is None else {f.name: given.get(f.name, f.name) for f in index.fields}
        self.gate = Gate()  # A request is inside from finding the servable to reading its outputs.

    @classmethod
    def load(cls, path: Path, version: int, *, require_index: bool = True) -> Servable:
        """Load one version's directory.

        Raises `ServingError` when it cannot be loaded, has no index (unless `require_index` is False), or does not
        reproduce the scores that were noted when it was exported; `ArtifactError` when its index is broken.
        """
        if not (path / INDEX_DIRECTORY).is_dir():
            if not require_index:
                return cls(version=version, runtime=SavedModelRuntime.load(path))
            raise ServingError(
                f"SavedModel {path} has no feature index ({INDEX_DIRECTORY}), so raw values cannot be matched to its "
                "rows. Export it with `ctrkit export`, or serve it as it is with `require_index=False` "
                "(`--any-saved-model`)."
            )
        index, manifest = FeatureIndex.load(path / INDEX_DIRECTORY), read_manifest(path)
        if manifest.get("fingerprint") != index.fingerprint:
            raise IndexMismatchError(
                f"SavedModel {path} was trained with index {str(manifest.get('fingerprint'))[:12]}, but carries index "
                f"{index.fingerprint[:12]}: ids would hit unrelated embeddings. Export the model again."
            )
        runtime = SavedModelRuntime.load(path)
        servable = cls(version=version, runtime=runtime, index=index, named_inputs=manifest.get("named_inputs"))
        try:
            servable._check_golden(manifest.get("golden"))
        except BaseException:
            servable.close()
            raise
        return servable

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Compute a signature after checking names, types, shapes and ids. Raises `RequestError`, `SessionError`."""
        wanted = self.signature(signature)
        for name in inputs:
            if name not in wanted.inputs:
                raise RequestError(f"Signature {signature!r} has no input {name!r}.{did_you_mean(name, wanted.inputs)}")
        for name, spec in wanted.inputs.items():
            if name not in inputs:
                raise RequestError(f"Signature {signature!r} needs input {name!r} ({spec}), which is missing.")
            array = inputs[name]
            got = dtype_number(array, name)
            if got != spec.dtype or not spec.accepts(array.shape):
                shape = ", ".join(map(str, array.shape))
                raise RequestError(
                    f"Input {name!r} of signature {signature!r}: got {dtype_name(got)} [{shape}], expected {spec}."
                )
            columns = self._columns.get((signature, name))
            if columns is not None:
                self._check_rows(array, columns, name, signature)
        return self.runtime.run(signature, inputs, outputs or None)

    def signature(self, name: str) -> Signature:
        """Look a signature up. Raises `RequestError`."""
        found = self.runtime.signatures.get(name)
        if found is None:
            raise RequestError(
                f"No signature {name!r} in version {self.version}.{did_you_mean(name, self.runtime.signatures)}"
            )
        return found

    def close(self) -> None:
        """Refuse new requests, wait for those inside, free the session."""
        self.gate.close()
        self.runtime.close()

    # --- checks -------------------------------------------------------------------------------------------------

    def _check_rows(self, ids: np.ndarray, columns: _Columns, name: str, signature: str) -> None:
        # Seen as unsigned, a negative id is a huge one: one comparison finds both kinds.
        outside = ids.view(np.uint32) >= columns.rows
        if not outside.any():
            return
        at = tuple(int(i) for i in np.argwhere(outside)[0])
        column = at[1] if len(at) > 1 else 0
        assert self.index is not None
        raise RequestError(
            f"Input {name!r} of signature {signature!r}, row {at[0]}: field {columns.fields[column]!r} got id "
            f"{int(ids[at])}, expected 0 to {int(columns.rows[column]) - 1}. Index raw values with the model's own "
            f"feature_index (fingerprint {self.index.fingerprint[:12]})."
        )

    def _check_golden(self, golden: Mapping[str, Any] | None) -> None:
        """Score the rows that were scored when the model was exported: a damaged file must not answer requests."""
        if not golden or not golden["ids"]:
            return
        expected = np.asarray(golden["scores"], dtype=np.float64)
        got = self.predict("serving_default", {"ids": np.asarray(golden["ids"], dtype=np.int32)})["ctr"].reshape(-1)
        difference = np.abs(got - expected)
        worst = int(np.argmax(difference))  # A NaN counts as the largest.
        if not difference[worst] <= GOLDEN_TOLERANCE:
            raise ServingError(
                f"SavedModel {self.runtime.path}: golden row {worst} scores {got[worst]:.7f}, but scored "
                f"{expected[worst]:.7f} when it was exported. Its files were changed or damaged: export it again."
            )


@dataclass(frozen=True)
class _Columns:
    """What the columns of one input mean."""

    rows: np.ndarray  # `uint32`, one per column: ids must be below.
    fields: tuple[str, ...]  # One per column.


def _columns(index: FeatureIndex, named_inputs: Mapping[str, str]) -> dict[tuple[str, str], _Columns]:
    """(signature, input) -> its columns."""
    names = tuple(field.name for field in index.fields for _ in range(field.length))
    rows = index.rows_per_column.astype(np.uint32)
    cut = index.user_width
    columns = {
        ("serving_default", "ids"): _Columns(rows, names),
        ("rank", "user_ids"): _Columns(rows[:cut], names[:cut]),
        ("rank", "item_ids"): _Columns(rows[cut:], names[cut:]),
    }
    for field in index.fields:
        columns["named", named_inputs.get(field.name, field.name)] = _Columns(rows[field.columns], names[field.columns])
    return columns


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what the export noted about a SavedModel. Raises `ArtifactError`."""
    file = path / MANIFEST_FILE
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"SavedModel {path} has no {MANIFEST_FILE}. Export it with `ctrkit export`.") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"Cannot read {file}: {error}. Export the model again with `ctrkit export`.") from error
    return manifest
