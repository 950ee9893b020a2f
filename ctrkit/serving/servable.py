"""One loaded version of a model: checks a request against the index it was trained with, then computes it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import grpc
import numpy as np

from ctrkit.errors import ArtifactError, IndexMismatchError, RequestError, ServingError, did_you_mean
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.answers import model_spec, predict_response
from ctrkit.serving.batching import BatchingOptions, Padding
from ctrkit.serving.batching.batcher import Batcher
from ctrkit.serving.batching.padding import run_padded, sizes_by_signature
from ctrkit.serving.gate import Gate
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.runtime import SavedModelRuntime
from ctrkit.serving.signatures import DTYPES, Signature, TensorSpec, dtype_name
from ctrkit.serving.versions import INDEX_DIRECTORY
from ctrkit.serving.wire import array_of, dtype_number

MANIFEST_FILE = "assets.extra/ctrkit.json"
DEFAULT_SIGNATURE = "serving_default"
OnBatch = Callable[[int, int], None]  # (rows, rows with padding)
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
        sizes: Mapping[str, tuple[int, ...]] | None = None,  # Signature -> the sizes that its batches are padded to.
        batching: BatchingOptions | None = None,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.version, self.runtime, self.index = version, runtime, index
        self.named_inputs = dict(named_inputs or {})
        self._columns = {} if index is None else _columns(index, self.named_inputs)
        given = named_inputs or {}
        self.input_names = {} if index is None else {f.name: given.get(f.name, f.name) for f in index.fields}
        self._plans: dict[str, _Plan] = {}
        self._sizes = dict(sizes or {})
        self._batcher = None if batching is None else Batcher(self._compute, batching, on_batch)
        self._specs: dict[tuple[str, str], bytes] = {}
        self.gate = Gate()  # A request is inside from finding the servable to reading its outputs.

    @classmethod
    def load(
        cls,
        path: Path,
        version: int,
        *,
        require_index: bool = True,
        batching: BatchingOptions | None = None,
        padding: Padding = "auto",
        on_batch: OnBatch | None = None,
    ) -> Servable:
        """Load one version's directory.

        With `batching`, requests of concurrent callers are computed together, where every input and output has a row a
        candidate: `rank`, of one user and many candidates, never is. `padding` is told in `sizes_by_signature`;
        `on_batch` gets (rows, rows with padding) of each merged run.

        Raises `ServingError` when it cannot be loaded, has no index (unless `require_index` is False), or does not
        reproduce the scores that were noted when it was exported; `ArtifactError` when its index is broken.
        """
        if not (path / INDEX_DIRECTORY).is_dir():
            if not require_index:
                return cls(version=version, runtime=SavedModelRuntime.load(path), batching=batching, on_batch=on_batch)
            raise ServingError(
                f"SavedModel {path} has no feature index ({INDEX_DIRECTORY}), so raw values cannot be matched to its "
                "rows. Export it with `ctrkit export`, or serve it as it is with `require_index=False` "
                "(`--any-saved-model`)."
            )
        # Without its values, which a server never looks up: opening it must not read gigabytes beside requests.
        index, manifest = FeatureIndex.load(path / INDEX_DIRECTORY, verify=False), read_manifest(path)
        sizes = sizes_by_signature(padding, manifest)
        if manifest.get("fingerprint") != index.fingerprint:
            raise IndexMismatchError(
                f"SavedModel {path} was trained with index {str(manifest.get('fingerprint'))[:12]}, but carries index "
                f"{index.fingerprint[:12]}: ids would hit unrelated embeddings. Export the model again."
            )
        servable = cls(
            version=version,
            runtime=SavedModelRuntime.load(path),
            index=index,
            named_inputs=manifest.get("named_inputs"),
            sizes=sizes,
            batching=batching,
            on_batch=on_batch,
        )
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
        plan = self._plans.get(signature)
        if plan is None:
            plan = self._plans[signature] = self._plan(signature)
        if len(inputs) > len(plan.inputs):
            self._refuse_names(signature, inputs, "")
        for name, spec, dtype, columns in plan.inputs:
            array = inputs.get(name)
            if array is None:
                self._refuse_names(signature, inputs, name)
            elif (array.dtype != dtype and dtype_number(array, name) != spec.dtype) or not spec.accepts(array.shape):
                got = f"{dtype_name(dtype_number(array, name))} [{', '.join(map(str, array.shape))}]"
                raise RequestError(f"Input {name!r} of signature {signature!r}: got {got}, expected {spec}.")
            elif columns is not None:
                self._check_rows(array, columns, name, signature)
        if len(plan.aligned) > 1:
            self._check_lengths(inputs, plan.aligned, signature)
        if self._batcher is not None and plan.merged:
            lengths = {len(inputs[name]) for name in plan.batched}
            rows = lengths.pop()
            if rows and not lengths:
                return self._batcher.run(signature, inputs, tuple(outputs), rows)
        return self._compute(signature, inputs, outputs)

    def answer(self, request: Any, model: str) -> bytes:
        """Answer one parsed PredictRequest with the bytes of a PredictResponse; `model` is the name to answer under.

        Raises as `predict` does.
        """
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        inputs = {name: array_of(tensor, name) for name, tensor in request.inputs.items()}
        outputs = self.predict(signature, inputs, request.output_filter)
        spec = self._specs.get((model, signature))
        if spec is None:
            spec = self._specs[model, signature] = model_spec(model, self.version, signature)
        return predict_response(outputs, spec)

    @property
    def definitions(self) -> Mapping[str, Any]:
        """The SignatureDef messages as exported, by name."""
        return self.runtime.definitions  # type: ignore[no-any-return]

    @property
    def signatures(self) -> Mapping[str, Signature]:
        """What can be asked, by name."""
        return self.runtime.signatures

    @property
    def fingerprint(self) -> str | None:
        """Of the index that the model was trained with; None for a model that ctrkit did not export."""
        return None if self.index is None else self.index.fingerprint

    def signature(self, name: str) -> Signature:
        """Look a signature up. Raises `Refusal`."""
        found = self.runtime.signatures.get(name)
        if found is None:
            raise Refusal(
                f'Serving signature key "{name}" not found.{did_you_mean(name, self.runtime.signatures)}',
                grpc.StatusCode.FAILED_PRECONDITION,
            )
        return found

    def close(self) -> None:
        """Refuse new requests, wait for those inside, free the session."""
        self.gate.close()
        if self._batcher is not None:
            self._batcher.close()
        self.runtime.close()

    def _compute(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """Run checked inputs by themselves."""
        sizes = self._sizes.get(signature)
        if sizes is None:
            return self.runtime.run_checked(signature, inputs, outputs)
        run = functools.partial(self.runtime.run_checked, signature, outputs=outputs)
        return run_padded(run, inputs, self._plans[signature].batched, sizes)

    # --- checks -------------------------------------------------------------------------------------------------

    def _plan(self, signature: str) -> _Plan:
        found = self.signature(signature)
        inputs = tuple(
            _Input(
                name,
                spec,
                DTYPES[spec.dtype][1] if spec.dtype in DTYPES else None,
                self._columns.get((signature, name)),
            )
            for name, spec in found.inputs.items()
        )
        batched = tuple(name for name, spec in found.inputs.items() if _any_batch(spec))
        every = len(batched) == len(inputs) > 0 and all(map(_any_batch, found.outputs.values()))
        aligned = tuple(one.name for one in inputs if one.columns is not None and one.name in batched)
        return _Plan(inputs, batched, every, aligned)

    def _refuse_names(self, signature: str, inputs: Mapping[str, np.ndarray], missing: str) -> NoReturn:
        """Name the first input too many, else the first too few: in TensorFlow Serving's words, and then our own."""
        wanted = self.signature(signature).inputs
        extra = sorted(inputs.keys() - wanted.keys())
        if len(inputs) == len(wanted):
            told = (
                f"input tensor alias not found in signature: {extra[0]}. Inputs expected to be in the set "
                f"{{{','.join(sorted(wanted))}}}."
            )
        else:
            told = (
                f"input size does not match signature: {len(inputs)}!={len(wanted)} "
                f"len({{{','.join(sorted(inputs))}}}) "
                f"!= len({{{','.join(sorted(wanted))}}}). Sent extra: {{{','.join(extra)}}}. Missing but required: "
                f"{{{','.join(sorted(wanted.keys() - inputs.keys()))}}}."
            )
        if extra:
            hint = f"Signature {signature!r} has no input {extra[0]!r}.{did_you_mean(extra[0], wanted)}"
        else:
            hint = f"Signature {signature!r} needs input {missing!r} ({wanted[missing]}), which is missing."
        raise RequestError(f"{told} {hint}")

    def _check_rows(self, ids: np.ndarray, columns: _Columns, name: str, signature: str) -> None:
        # Seen as unsigned, a negative id is a huge one: one comparison finds both kinds.
        outside = ids.astype(np.int32, copy=False).view(np.uint32) >= columns.rows
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

    def _check_lengths(self, inputs: Mapping[str, np.ndarray], names: Sequence[str], signature: str) -> None:
        lengths = [len(inputs[name]) for name in names]
        if lengths.count(lengths[0]) == len(lengths):
            return
        usual = max(set(lengths), key=lengths.count)
        odd = next(i for i, length in enumerate(lengths) if length != usual)
        raise RequestError(
            f"Input {names[odd]!r} of signature {signature!r} has {lengths[odd]} rows where others have {usual}, "
            "expected one row a candidate in each."
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


class _Input(NamedTuple):
    """What is checked of one input."""

    name: str
    spec: TensorSpec
    dtype: np.dtype[Any] | None  # numpy's; None for a type that cannot be sent.
    columns: _Columns | None


class _Plan(NamedTuple):
    """What there is to do for one signature."""

    inputs: tuple[_Input, ...]
    batched: tuple[str, ...]  # Inputs of one row a candidate.
    merged: bool  # Every input and output is: requests may be computed together.
    aligned: tuple[str, ...]  # Inputs that hold the columns of the same candidates.


def _any_batch(spec: TensorSpec) -> bool:
    return bool(spec.shape) and spec.shape[0] is None  # type: ignore[index]


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
