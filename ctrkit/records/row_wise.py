"""Records of other tools: one `tf.train.Example` a row, one named int64 feature for each feature of the index.

Ten and more times slower to read than blocks; here to exchange data and to compare with.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import google_crc32c
import numpy as np

from ctrkit.atomic import atomic_file
from ctrkit.errors import ConfigError, ShapeError
from ctrkit.records.block import FRAME_FOOTER, FRAME_HEADER, delimited, frame_header
from ctrkit.records.disk import disk_errors

if TYPE_CHECKING:
    import tensorflow as tf

LABEL, WEIGHT, GROUP = "label", "weight", "group"
_ROWS_AT_ONCE = 65_536
_INT64_LIST, _FLOAT_LIST = b"\x1a", b"\x12"  # Tags of fields 3 and 2 of tf.train.Feature.


def write_row_wise(
    path: str | os.PathLike[str],
    lengths: Mapping[str, int],
    ids: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> None:
    """Write rows as a TFRecord file of one example each, atomically.

    Args:
      path: of the file.
      lengths: columns of `ids` that belong to each feature, in order: `{f.name: f.length for f in index.fields}`.
      ids: int `[n, width]`, not negative.
      label: float `[n]` or `[n, labels]`.
      weight: float `[n]` or `[n, 1]`; None for rows without one.
      group: int64 `[n]`; None for rows without one.

    Raises:
      ShapeError: `ids` has another width than the features, or another number of rows than the rest.
      ConfigError: a feature has the name of the label's, the weight's or the group's.
    """
    columns = named_columns(lengths, ids, label, weight, group)
    with disk_errors(path), atomic_file(path) as temporary, open(temporary, "wb") as file:
        for at in range(0, len(ids), _ROWS_AT_ONCE):
            file.write(encode_rows({name: array[at : at + _ROWS_AT_ONCE] for name, array in columns.items()}).data)


def named_columns(
    lengths: Mapping[str, int],
    ids: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """The features of rows by name, each `[n, length]` of integers or float32; else as `write_row_wise`."""
    given = {LABEL: label, WEIGHT: weight, GROUP: group}
    for name, array in given.items():
        if array is not None and name in lengths:
            raise ConfigError(f"Feature {name!r} has the name of the {name}'s own feature. Rename it in the schema.")
    if ids.ndim != 2 or ids.shape[1] != sum(lengths.values()) or len(ids) != len(label):
        raise ShapeError(
            f"ids: got {list(ids.shape)}, expected [{len(label)}, {sum(lengths.values())}]: a row for each label, a "
            "column for each column of the features."
        )
    stops = np.cumsum(list(lengths.values()))
    columns = {name: ids[:, stop - lengths[name] : stop] for name, stop in zip(lengths, stops, strict=True)}
    for name, array in given.items():
        if array is not None:
            if len(array) != len(ids):
                raise ShapeError(f"{name}: got {len(array)} rows, expected {len(ids)}: as many as ids has.")
            columns[name] = np.asarray(array, dtype=np.int64 if name == GROUP else np.float32).reshape(len(ids), -1)
    return columns


def encode_rows(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Framed records of rows, uint8 `[n, bytes of a row]`: columns are integers or float32, each `[n, length]`.

    All rows get the same bytes but for the numbers, so these are scattered into a template: a varint has the size of
    the largest one of its column, which protocol buffers read all the same.
    """
    features, places = b"", []
    for name, array in columns.items():
        whole = array.dtype.kind in "iu"
        tops = array.astype(np.int64).view(np.uint64).max(axis=0) if whole else np.zeros(array.shape[1])
        sizes = [max(1, -(-int(top).bit_length() // 7)) if whole else 4 for top in tops]
        values = delimited(_INT64_LIST if whole else _FLOAT_LIST, delimited(b"\x0a", bytes(sum(sizes))))
        features += delimited(b"\x0a", delimited(b"\x0a", name.encode()), delimited(b"\x12", values))
        starts = len(features) - sum(sizes) + np.cumsum([0, *sizes])
        places.append((array, sizes, starts))
    example = delimited(b"\x0a", features)
    template = frame_header(len(example)) + example + bytes(FRAME_FOOTER)
    before = FRAME_HEADER + len(example) - len(features)
    rows = len(next(iter(columns.values())))
    out = np.empty((rows, len(template)), dtype=np.uint8)
    out[:] = np.frombuffer(template, dtype=np.uint8)
    for array, sizes, starts in places:
        if array.dtype.kind not in "iu":
            out[:, before + starts[0] : before + starts[-1]] = np.ascontiguousarray(array, dtype="<f4").view(np.uint8)
            continue
        for column, size, start in zip(array.T, sizes, starts[:-1], strict=True):
            number = column.astype(np.int64).view(np.uint64) if size > 4 else column
            for byte in range(size):
                more = 0x80 if byte < size - 1 else 0
                out[:, before + start + byte] = (number >> number.dtype.type(7 * byte) & number.dtype.type(0x7F)) | more
    out[:, -FRAME_FOOTER:] = _checksums(out).view(np.uint8).reshape(rows, FRAME_FOOTER)
    return out


def _checksums(framed: np.ndarray) -> np.ndarray:
    """TFRecord's masked CRC-32C of the payload of each row, uint32."""
    whole, size, value = framed.tobytes(), framed.shape[1], google_crc32c.value
    starts = range(FRAME_HEADER, len(whole), size)
    length = size - FRAME_HEADER - FRAME_FOOTER
    crc = np.fromiter((value(whole[at : at + length]) for at in starts), dtype=np.uint32, count=len(framed))
    return ((crc >> np.uint32(15) | crc << np.uint32(17)) + np.uint32(0xA282EAD8)).astype("<u4")


def read_row_wise(
    paths: Sequence[str | os.PathLike[str]],
    lengths: Mapping[str, int],
    batch_size: int,
    *,
    labels: int = 1,
    has_weight: bool = False,
    has_group: bool = False,
) -> tf.data.Dataset:
    """Return batches of one pass over row-wise files in order, as `Records.dataset` gives them.

    `{"ids": int32 [b, width], "label": float32 [b, labels], "weight": float32 [b, 1] (if any), "group": int64 [b] (if
    any)}`. Rows are read and batched first and parsed together, the quickest of the usual ways.
    """
    import tensorflow as tf  # Takes seconds: writing does without.

    wanted = {name: tf.io.FixedLenFeature([length], tf.int64) for name, length in lengths.items()}
    wanted[LABEL] = tf.io.FixedLenFeature([labels], tf.float32)
    if has_weight:
        wanted[WEIGHT] = tf.io.FixedLenFeature([1], tf.float32)
    if has_group:
        wanted[GROUP] = tf.io.FixedLenFeature([], tf.int64)

    def parse(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        parsed = tf.io.parse_example(serialized, wanted)
        ids = tf.concat([parsed[name] for name in lengths], axis=1)
        return {"ids": tf.cast(ids, tf.int32), **{name: parsed[name] for name in wanted if name not in lengths}}

    files = tf.data.TFRecordDataset([os.fspath(path) for path in paths])
    return files.batch(batch_size).map(parse, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def chunks_of_rows(arrays: Iterator[dict[str, np.ndarray]], rows: int) -> Iterator[dict[str, np.ndarray]]:
    """Put small arrays of rows together into chunks of at least so many rows, but for the last."""
    waiting: list[dict[str, np.ndarray]] = []
    count = 0
    for part in arrays:
        waiting.append(part)
        count += len(part["ids"])
        if count >= rows:
            yield {name: np.concatenate([one[name] for one in waiting]) for name in part}
            waiting, count = [], 0
    if waiting:
        yield {name: np.concatenate([one[name] for one in waiting]) for name in waiting[0]}
