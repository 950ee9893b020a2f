"""The signature through which clients fetch the feature index, from any server that runs TensorFlow's graphs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from ctrkit.export.prune import PrunedFunction, traced
from ctrkit.indexing import FeatureIndex

CONTENTS = "feature_index_contents.json"  # In the SavedModel's assets, beside the index.
PART_BYTES = 4 << 20  # A part is one string of an answer; gRPC clients take 4 MB unless told otherwise.
AT_ONCE = 16  # Parts that one request gets; a longer list is answered by empty strings, so that nobody asks for all.


@dataclass(frozen=True)
class IndexSignature:
    """`part` int64 `[n]` gives `bytes` string `[n]`: 0 is the contents in JSON, then come the files' parts in order.

    The files stay where they are, in `assets/feature_index`: a part is read when it is asked for. One answer for each
    element of `part`, so that a server which batches requests can do so.
    """

    function: PrunedFunction
    asset: tf.saved_model.Asset  # To be held by what is saved.


def index_signature(index: FeatureIndex, folder: Path, contents: Path) -> IndexSignature:
    """Trace the signature for an index that lies in `folder`; writes `contents`, a file that the saver copies.

    The SavedModel must have `folder` as its `assets/feature_index`.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [
        {"path": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in paths
    ]
    described = {"fingerprint": index.fingerprint, "part_bytes": PART_BYTES, "files": files}
    contents.write_text(json.dumps(described), encoding="utf-8")
    asset = tf.saved_model.Asset(str(contents))
    parts = [
        (path.relative_to(folder).as_posix(), start, min(PART_BYTES, path.stat().st_size - start))
        for path in paths
        for start in range(0, path.stat().st_size, PART_BYTES)
    ]
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    names = [name for name, _, _ in parts]
    starts = [start for _, start, _ in parts]
    lengths = [length for _, _, length in parts]
    after = [sizes[name] - start - length for name, start, length in parts]

    def answer(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        beside = tf.strings.regex_replace(asset.asset_path, "[^/]*$", f"{folder.name}/")

        def read(number: tf.Tensor) -> tf.Tensor:
            # The one operation that reads a part of a file without the rest.
            pieces = tf.raw_ops.FixedLengthRecordDatasetV2(
                filenames=[beside + tf.gather(names, number)],
                header_bytes=tf.gather(tf.constant(starts, tf.int64), number),
                record_bytes=tf.gather(tf.constant(lengths, tf.int64), number),
                footer_bytes=tf.gather(tf.constant(after, tf.int64), number),
                buffer_size=tf.constant(1 << 20, tf.int64),
                compression_type="",
            )
            return tf.raw_ops.DatasetToSingleElement(dataset=pieces, output_types=[tf.string], output_shapes=[[]])[0]

        def one(place_and_part: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            place, part = place_and_part
            return tf.case(
                [(place >= AT_ONCE, lambda: tf.constant("")), (part == 0, lambda: tf.io.read_file(asset.asset_path))],
                default=lambda: read(part - 1),
                exclusive=False,
            )

        places = tf.range(tf.size(inputs["part"], out_type=tf.int64))
        return {"bytes": tf.map_fn(one, (places, inputs["part"]), fn_output_signature=tf.string)}

    return IndexSignature(traced(answer, {"part": tf.TensorSpec([None], tf.int64, name="part")}), asset)


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(PART_BYTES):
            sha.update(piece)
    return sha.hexdigest()
