"""The bytes of a `rank` request: all but the ids is put together once."""

from __future__ import annotations

import numpy as np

from ctrkit.serving.connection.messages import Served
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.wire import pack

KEPT = 4096  # Candidate counts and versions whose bytes are remembered.


class RequestTemplate:
    """`PredictRequest` messages of one signature whose inputs are int32 `[n, width]`.

    Protobuf messages that are joined are one message, and a tensor's content is the last of its bytes; so a request
    is constant bytes with ids between them.
    """

    def __init__(self, served: Served, signature: str, widths: dict[str, int], output: str) -> None:
        self._served, self._signature, self._widths, self._output = served, signature, widths, output
        self._heads: dict[int | None, bytes] = {}
        self._inputs: dict[tuple[str, int], bytes] = {}

    def request(self, ids: dict[str, np.ndarray], version: int | None = None) -> bytes:
        """The message for `ids`, int32 `[n, width]` each; `version` goes before what the template was made for."""
        pieces = [self._heads.get(version) or self._head(version)]
        for name, rows in ids.items():
            count = len(rows)
            pieces.append(self._inputs.get((name, count)) or self._input(name, count))
            pieces.append(rows.tobytes())
        return b"".join(pieces)

    def _head(self, version: int | None) -> bytes:
        request = prediction_pb2.PredictRequest(output_filter=[self._output])
        self._served.put(request.model_spec, version)
        request.model_spec.signature_name = self._signature
        if len(self._heads) >= KEPT:
            self._heads.clear()
        self._heads[version] = head = request.SerializeToString()
        return head

    def _input(self, name: str, count: int) -> bytes:
        """What goes before the content of input `name` with `count` rows."""
        request = prediction_pb2.PredictRequest()
        rows = np.zeros((count, self._widths[name]), dtype=np.int32)
        pack(rows, request.inputs[name], name)
        whole = request.SerializeToString()
        if len(self._inputs) >= KEPT:
            self._inputs.clear()
        self._inputs[name, count] = before = whole[: len(whole) - rows.nbytes]
        return before
