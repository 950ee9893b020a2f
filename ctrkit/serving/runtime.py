"""Run a SavedModel's signatures over TensorFlow's C API: numpy arrays in, numpy arrays out, no Python TensorFlow."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from ctypes import c_char_p, c_int64, c_void_p
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ctrkit.errors import RequestError, ServingError, did_you_mean
from ctrkit.serving.gate import Gate
from ctrkit.serving.protos import saved_model_pb2
from ctrkit.serving.signatures import DTYPES, STRING, Signature, TensorSpec, dtype_name, signatures_of
from ctrkit.serving.tensorflow_c import STRING_BYTES, TensorFlowC, TFOutput, tensorflow_c
from ctrkit.serving.wire import dtype_number


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """Threads of a session. The defaults run a request wholly in its caller's thread, the fastest for small graphs."""

    intra_op_threads: int = 1  # Inside one operation.
    inter_op_threads: int = -1  # Across operations; negative: in the caller's thread.

    def __post_init__(self) -> None:
        if self.intra_op_threads < 0:
            raise ServingError(f"`intra_op_threads` is {self.intra_op_threads}, expected 0 (all cores) or more.")


class _Scratch:
    """The places that one run needs, used again by the next one."""

    def __init__(self, library: TensorFlowC, inputs: int, outputs: int) -> None:
        self.values = (c_void_p * inputs)()
        self.results = (c_void_p * outputs)()
        self.status = library.TF_NewStatus()


@dataclass(frozen=True)
class _Call:
    """What one combination of signature and outputs feeds and fetches, as the C API wants it."""

    inputs: tuple[tuple[str, TensorSpec], ...]
    feeds: ctypes.Array[TFOutput]
    fetches: ctypes.Array[TFOutput]
    places: tuple[tuple[str, int], ...]  # Output name -> place among the fetches, each fetched once.
    idle: list[_Scratch] = field(default_factory=list)  # As many as ran at once; taken and given back atomically.


class SavedModelRuntime:
    """A loaded SavedModel; safe to share between threads."""

    def __init__(self, path: str, library: TensorFlowC, session: int, graph: int, definition: Any) -> None:
        self.path = path
        self.definitions = definition.signature_def  # The SignatureDef messages as exported, for metadata.
        self.signatures: dict[str, Signature] = signatures_of(definition.signature_def)
        self._c, self._session, self._graph = library, session, graph
        self._calls: dict[tuple[str, tuple[str, ...]], _Call] = {}
        self._gate = Gate()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        options: SessionOptions | None = None,
        tags: Sequence[str] = ("serve",),
    ) -> SavedModelRuntime:
        """Load a SavedModel directory: read the graph, restore variables, run its initialisers.

        Raises `ServingError` when it is absent or broken.
        """
        path = os.fspath(path)
        if not os.path.isfile(os.path.join(path, "saved_model.pb")):
            raise ServingError(f"No SavedModel at {path} (no saved_model.pb). Make one with `ctrkit export`.")
        options = SessionOptions() if options is None else options
        config = saved_model_pb2.SessionConfig(
            intra_op_parallelism_threads=options.intra_op_threads,
            inter_op_parallelism_threads=options.inter_op_threads,
        ).SerializeToString()
        c = tensorflow_c()
        status, session_options, graph, buffer = (
            c.TF_NewStatus(),
            c.TF_NewSessionOptions(),
            c.TF_NewGraph(),
            c.TF_NewBuffer(),
        )
        try:
            c.TF_SetConfig(session_options, config, len(config), status)
            c.check(status, "Setting the session's threads")
            names = (c_char_p * len(tags))(*[tag.encode() for tag in tags])
            session = c.TF_LoadSessionFromSavedModel(
                session_options, None, path.encode(), names, len(tags), graph, buffer, status
            )
            c.check(status, f"Loading {path}")
            raw = ctypes.string_at(buffer.contents.data, buffer.contents.length)
        except BaseException:
            c.TF_DeleteGraph(graph)
            raise
        finally:
            c.TF_DeleteBuffer(buffer)
            c.TF_DeleteSessionOptions(session_options)
            c.TF_DeleteStatus(status)
        return cls(path, c, session, graph, saved_model_pb2.MetaGraphDef.FromString(raw))

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Compute a signature's outputs (all of them, or those named).

        Every input of the signature must be there with its type; shapes are TensorFlow's to check. String tensors
        are object arrays of bytes. Raises `RequestError` for a name or a type that does not fit, `SessionError` (with
        TensorFlow's status code) for what TensorFlow refuses.
        """
        call = self._call(signature, outputs)
        arrays = []
        for name, spec in call.inputs:
            if name not in inputs:
                raise RequestError(f"Signature {signature!r} needs input {name!r} ({spec}), which is missing.")
            array = np.asarray(inputs[name])
            got = dtype_number(array, name)
            if got != spec.dtype:
                raise RequestError(
                    f"Input {name!r} of signature {signature!r}: got {dtype_name(got)}, expected "
                    f"{dtype_name(spec.dtype)}."
                )
            arrays.append(array)
        return self._run(signature, call, arrays)

    def run_checked(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] = ()
    ) -> dict[str, np.ndarray]:
        """`run` for arrays that are known to be all there, of the right types."""
        call = self._call(signature, outputs)
        return self._run(signature, call, [inputs[name] for name, _ in call.inputs])

    def _run(self, signature: str, call: _Call, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        if not self._gate.enter():
            raise ServingError(f"{self.path} was closed.")
        try:
            return self._run_inside(signature, call, arrays)
        finally:
            self._gate.leave()

    def _run_inside(self, signature: str, call: _Call, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        c = self._c
        try:
            scratch = call.idle.pop()
        except IndexError:
            scratch = _Scratch(c, len(call.inputs), len(call.fetches))
        values, results, status = scratch.values, scratch.results, scratch.status
        try:
            for i, (_, spec) in enumerate(call.inputs):
                values[i] = self._tensor(spec, arrays[i])
            c.TF_SessionRun(
                self._session, None,
                call.feeds, values, len(values),
                call.fetches, results, len(results),
                None, 0, None, status,
            )  # fmt: skip
            if c.TF_GetCode(status):
                c.check(status, f"Signature {signature!r}")
            read = [self._array(result) for result in results if result]
            return {name: read[place] for name, place in call.places}
        finally:
            for i, (_, spec) in enumerate(call.inputs):
                if tensor := values[i]:
                    self._delete(tensor, spec.dtype)
                    values[i] = None
            for i, result in enumerate(results):
                if result:
                    c.TF_DeleteTensor(result)
                    results[i] = None
            call.idle.append(scratch)

    def close(self) -> None:
        """Wait for calls under way, then free the session and the graph; a second call does nothing."""
        if not self._gate.close():
            return
        status = self._c.TF_NewStatus()
        self._c.TF_CloseSession(self._session, status)
        self._c.TF_DeleteSession(self._session, status)
        self._c.TF_DeleteGraph(self._graph)
        self._c.TF_DeleteStatus(status)
        for call in self._calls.values():
            while call.idle:
                self._c.TF_DeleteStatus(call.idle.pop().status)

    def __enter__(self) -> SavedModelRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, signature: str, outputs: Iterable[str] | None) -> _Call:
        outputs = () if outputs is None else tuple(outputs)
        found = self._calls.get((signature, outputs))
        if found is not None:
            return found
        if not self._gate.enter():
            raise ServingError(f"{self.path} was closed.")
        try:
            return self._calls.setdefault((signature, outputs), self._new_call(signature, outputs))
        finally:
            self._gate.leave()

    def _new_call(self, signature: str, outputs: tuple[str, ...]) -> _Call:
        if signature not in self.signatures:
            raise RequestError(f"No signature {signature!r} in {self.path}.{did_you_mean(signature, self.signatures)}")
        wanted = self.signatures[signature]
        for place, name in enumerate(outputs):
            if name not in wanted.outputs:
                raise RequestError(
                    f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                    f"{{{','.join(sorted(wanted.outputs))}}}. Signature {signature!r} has no output {name!r}."
                    f"{did_you_mean(name, wanted.outputs)}"
                )
            if name in outputs[:place]:
                raise RequestError(f"duplicate output tensor alias: {name}. Name each output once.")
        names = outputs or tuple(wanted.outputs)
        tensors = list(dict.fromkeys(wanted.outputs[name].tensor for name in names))
        return _Call(
            inputs=tuple(wanted.inputs.items()),
            feeds=self._outputs([spec.tensor for spec in wanted.inputs.values()], signature),
            fetches=self._outputs(tensors, signature),
            places=tuple((name, tensors.index(wanted.outputs[name].tensor)) for name in dict.fromkeys(names)),
        )

    def _outputs(self, tensors: Sequence[str], signature: str) -> ctypes.Array[TFOutput]:
        array = (TFOutput * len(tensors))()
        for i, tensor in enumerate(tensors):
            name, _, index = tensor.partition(":")
            operation = self._c.TF_GraphOperationByName(self._graph, name.encode()) if name else None
            if not operation or int(index or 0) >= self._c.TF_OperationNumOutputs(operation):
                raise ServingError(
                    f"{self.path}: signature {signature!r} refers to tensor {tensor!r}, which its graph does not have "
                    "(sparse and ragged tensors cannot be served). Export the model again."
                )
            array[i] = TFOutput(operation, int(index or 0))
        return array

    def _tensor(self, spec: TensorSpec, array: np.ndarray) -> int:
        if spec.dtype == STRING:
            return self._string_tensor(array)
        dtype = DTYPES[spec.dtype][1]
        if not array.flags.c_contiguous or array.dtype != dtype:
            array = np.ascontiguousarray(array, dtype=dtype).reshape(array.shape)
        nbytes = array.nbytes
        tensor = self._allocate(spec.dtype, array.shape, nbytes)
        ctypes.memmove(self._c.TF_TensorData(tensor), array.ctypes.data, nbytes)
        return tensor

    def _allocate(self, dtype: int, shape: tuple[int, ...], nbytes: int) -> int:
        tensor: int | None = self._c.TF_AllocateTensor(dtype, (c_int64 * len(shape))(*shape), len(shape), nbytes)
        if not tensor:
            raise ServingError(f"No memory for a tensor of {nbytes:,} bytes.")
        return tensor

    def _string_tensor(self, array: np.ndarray) -> int:
        c = self._c
        values = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
        if not all(isinstance(value, bytes) for value in values):
            raise RequestError("A string tensor holds bytes or str only.")
        tensor = self._allocate(STRING, array.shape, STRING_BYTES * len(values))
        place = c.TF_TensorData(tensor)
        for value in values:
            c.TF_StringInit(place)
            c.TF_StringCopy(place, value, len(value))
            place += STRING_BYTES
        return tensor

    def _delete(self, tensor: int, dtype: int) -> None:
        c = self._c
        if dtype == STRING:  # TensorFlow frees the array of strings, but not what a long string points at.
            start, nbytes = c.TF_TensorData(tensor), c.TF_TensorByteSize(tensor)
            for offset in range(0, nbytes, STRING_BYTES):
                c.TF_StringDealloc(start + offset)
        c.TF_DeleteTensor(tensor)

    def _array(self, tensor: int) -> np.ndarray:
        c = self._c
        shape = tuple(c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor)))
        dtype = c.TF_TensorType(tensor)
        if dtype not in DTYPES:
            raise ServingError(f"An output has {dtype_name(dtype)}, which cannot be sent.")
        nbytes, place = c.TF_TensorByteSize(tensor), c.TF_TensorData(tensor)
        if dtype != STRING:
            content = ctypes.string_at(place, nbytes) if nbytes else b""
            return np.frombuffer(content, dtype=DTYPES[dtype][1]).reshape(shape)
        values = np.empty(nbytes // STRING_BYTES, dtype=object)
        for i in range(len(values)):
            at = place + i * STRING_BYTES
            values[i] = ctypes.string_at(c.TF_StringGetDataPointer(at), c.TF_StringGetSize(at))
        return values.reshape(shape)
