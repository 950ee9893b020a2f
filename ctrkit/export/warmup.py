"""assets.extra/tf_serving_warmup_requests: real requests that a server replays before it says that it is ready."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from ctrkit.export.manifest import WARMUP_PATH
from ctrkit.export.signatures import is_sequence
from ctrkit.indexing import FeatureIndex

Request = tuple[str, dict[str, np.ndarray]]  # Signature, its inputs.


def named_arrays(index: FeatureIndex, ids: np.ndarray, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The inputs of signature `named` for `ids`, int32 `[n, width]`: `[n]` a feature, `[n, length]` a sequence."""
    return {
        names[field.name]: ids[:, field.columns] if is_sequence(field) else ids[:, field.start]
        for field in index.fields
    }


def requests(
    index: FeatureIndex, rows: np.ndarray, buckets: tuple[int, ...], names: Mapping[str, str]
) -> Iterator[Request]:
    """One request for each bucket and signature; a `rank` request is the first row's user with the rows' candidates."""
    cut = index.user_width
    for size in buckets:
        ids = rows[np.arange(size) % len(rows)]
        yield "serving_default", {"ids": ids}
        yield "rank", {"user_ids": ids[:1, :cut], "item_ids": ids[:, cut:]}
        yield "named", named_arrays(index, ids, names)
    if buckets:
        yield "fingerprint", {}


def write_warmup(directory: Path, listed: Iterable[Request]) -> int:
    """Write the file below a SavedModel's directory and return the number of requests."""
    path = directory / WARMUP_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in listed:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(np.ascontiguousarray(array)))
            writer.write(log.SerializeToString())
            count += 1
    return count
