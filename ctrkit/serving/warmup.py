"""Read the warmup requests that travel in a SavedModel, in TensorFlow Serving's own format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import google_crc32c
from google.protobuf.message import DecodeError

from ctrkit.errors import ServingError
from ctrkit.serving.protos import prediction_pb2, warmup_pb2

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MOST_RECORDS = 1000  # TensorFlow Serving's limit.
PREDICT = "predict_log"


@dataclass(frozen=True)
class WarmupRecord:
    """A recorded request; `kind` is the PredictionLog's field ("predict_log", "classify_log", …), or ""."""

    kind: str
    request: bytes


def warmup_records(saved_model: str | os.PathLike[str]) -> Iterator[WarmupRecord]:
    """Yield the recorded requests of a SavedModel directory; none when it has no warmup file.

    Raises `ServingError` naming the file when it is damaged or has more than 1,000 records.
    """
    path = Path(saved_model) / WARMUP_FILE
    if not path.is_file():
        return
    for number, raw in enumerate(_framed(path)):
        if number == MOST_RECORDS:
            raise ServingError(
                f"Number of warmup records exceeds the maximum ({MOST_RECORDS}) at {path}. Keep one request per "
                "signature and batch size."
            )
        try:
            record = warmup_pb2.WarmupRecord.FromString(raw)
            kind = record.WhichOneof("log_type") or ""
            request = warmup_pb2.WarmupLog.FromString(getattr(record, kind)).request if kind else b""
        except DecodeError as error:
            raise ServingError(
                f"{path}: record {number} is not a PredictionLog ({error}). Export the model again."
            ) from error
        yield WarmupRecord(kind, request)


def warmup_requests(saved_model: str | os.PathLike[str]) -> Iterator[prediction_pb2.PredictRequest]:
    """Yield the recorded Predict requests of a SavedModel directory. Raises `ServingError` as `warmup_records`."""
    for record in warmup_records(saved_model):
        if record.kind == PREDICT:
            yield prediction_pb2.PredictRequest.FromString(record.request)


def _framed(path: Path) -> Iterator[bytes]:
    """TFRecord framing: length (8 bytes), its checksum (4), data, its checksum (4)."""
    raw = path.read_bytes()
    at = 0
    while at < len(raw):
        head = raw[at : at + 12]
        length = int.from_bytes(head[:8], "little")
        if len(head) < 12 or at + 16 + length > len(raw):
            raise ServingError(f"{path} is cut short at byte {at:,} of {len(raw):,}. Export the model again.")
        data = raw[at + 12 : at + 12 + length]
        tail = raw[at + 12 + length : at + 16 + length]
        if _masked(head[:8]) != head[8:] or _masked(data) != tail:
            raise ServingError(f"{path}: the record at byte {at:,} has a wrong checksum. Export the model again.")
        yield data
        at += 16 + length


def _masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")
