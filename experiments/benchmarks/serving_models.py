"""The network that serving benchmarks ask: exported by ctrkit, and on tf.feature_column; and raw requests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from ctrkit.export import ExportOptions, export_model
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.layers import FieldEmbeddings, Inputs, SidedSum
from ctrkit.models.parts import click_model, logit
from ctrkit.models.tower import Tower
from ctrkit.schema import Schema
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.warmup import WARMUP_FILE
from ctrkit.serving.wire import pack

WIDE, DEEP, DIM, HIDDEN = 80, 60, 10, (256, 256, 256)
USER_SHARE = 65 / 140  # Of the fields; the rest belong to the candidate.
CANDIDATES = 100
SIZES = np.geomspace(10, 20_000, 20).astype(int)  # Values a field; fields take turns.

NAMES = [f"wide_{i:02d}" for i in range(WIDE)] + [f"deep_{i:02d}" for i in range(DEEP)]
Impression = dict[str, str]


def sizes() -> dict[str, int]:
    return {name: int(SIZES[i % len(SIZES)]) for i, name in enumerate(NAMES)}


def is_user(name: str) -> bool:
    kind, number = name.split("_")
    return int(number) < USER_SHARE * (WIDE if kind == "wide" else DEEP)


def impressions(count: int, seed: int) -> list[Impression]:
    """One user's `count` candidates, heavy-tailed, one value in a hundred unknown."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name, size in sizes().items():
        ranks = np.exp(rng.random(1 if is_user(name) else count) * np.log(size * 1.01)).astype(int) - 1
        columns[name] = np.broadcast_to(ranks, count)
    return [{name: f"{ranks[i]:04x}" for name, ranks in columns.items()} for i in range(count)]


# --- the two models -----------------------------------------------------------------------------------------------


def index_of() -> FeatureIndex:
    features = {name: {"kind": "categorical", "side": "user" if is_user(name) else "item"} for name in NAMES}
    vocabularies = {n: Vocabulary.of([f"{i:04x}" for i in range(size)], [1] * size) for n, size in sizes().items()}
    return FeatureIndex(Schema.from_dict({"label": "clicked", "features": features}), vocabularies, {})


def ctrkit_model(directory: Path, *, warm: bool, xla: bool = False) -> tuple[Path, FeatureIndex]:
    """Export the model that nobody has trained: its scores cost what a trained one's cost."""
    index = index_of()
    inputs = Inputs(index)
    wide = FieldEmbeddings(index, dim=1, fields=NAMES[:WIDE], name="linear")(inputs)
    deep = FieldEmbeddings(index, dim=DIM, fields=NAMES[WIDE:], name="embeddings")(inputs)
    tower = Tower(hidden=HIDDEN, activation="relu", dropout=0.0, batch_norm=False, seed=1)
    logits = [SidedSum(name="linear_logit")(wide), logit(tower.over(deep), seed=0)]
    model = click_model(inputs, logits, label_rate=None, name="wide_deep")
    buckets = (1, 10, CANDIDATES) if warm else ()
    return export_model(model, index, directory, options=ExportOptions(buckets=buckets, xla=xla)), index


def feature_column_model(directory: Path, *, warm: bool, fed_by: str = "examples") -> Path:
    """TensorFlow's own Wide & Deep estimator with vocabulary lookups in the graph.

    `fed_by` is "examples" (one serialized `tf.Example` a candidate) or "strings" (one tensor a feature).
    """
    vocabularies = directory / "vocabularies"
    vocabularies.mkdir(parents=True)
    columns = {}
    for name, size in sizes().items():
        (vocabularies / name).write_text("".join(f"{i:04x}\n" for i in range(size)))
        columns[name] = tf.feature_column.categorical_column_with_vocabulary_file(
            name, str(vocabularies / name), vocabulary_size=size, num_oov_buckets=1
        )
    wide = [columns[name] for name in NAMES[:WIDE]]
    deep = [tf.feature_column.embedding_column(columns[name], DIM) for name in NAMES[WIDE:]]
    estimator = tf.estimator.DNNLinearCombinedClassifier(
        model_dir=str(directory / "checkpoints"),
        linear_feature_columns=wide,
        dnn_feature_columns=deep,
        dnn_hidden_units=list(HIDDEN),
    )
    rows = impressions(8, seed=1)
    batch = {name: [row[name] for row in rows] for name in NAMES}
    estimator.train(lambda: tf.data.Dataset.from_tensors((batch, [[0.0], [1.0]] * 4)), steps=1)
    if fed_by == "examples":
        spec = tf.feature_column.make_parse_example_spec(wide + deep)
        receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(spec)
        inputs_of = example_inputs
    else:
        receiver = string_receiver
        inputs_of = string_inputs
    path = Path(estimator.export_saved_model(str(directory / "export"), receiver).decode())
    if warm:
        (path / WARMUP_FILE).parent.mkdir()
        with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
            for count in (1, 10, CANDIDATES):
                log = prediction_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = "predict"
                request.output_filter.append("logistic")
                for name, array in inputs_of(impressions(count, seed=2)).items():
                    pack(array, request.inputs[name], name)
                writer.write(log.SerializeToString())
    return path


def string_receiver() -> tf.estimator.export.ServingInputReceiver:
    placeholders = {name: tf.compat.v1.placeholder(tf.string, [None, 1], name=name) for name in NAMES}
    return tf.estimator.export.ServingInputReceiver(dict(placeholders), placeholders)


# --- the same candidates, as each of the ways sends them ------------------------------------------------------------


def example_inputs(rows: Sequence[Impression]) -> dict[str, np.ndarray]:
    """Serialized `tf.Example` a candidate, as an array of bytes."""
    out = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        example = tf.train.Example()
        for name, value in row.items():
            example.features.feature[name].bytes_list.value.append(value.encode())
        out[i] = example.SerializeToString()
    return {"examples": out}


def string_inputs(rows: Sequence[Impression]) -> dict[str, np.ndarray]:
    """A column of bytes a feature, object `[n, 1]`."""
    return {name: np.array([[row[name].encode()] for row in rows], dtype=object) for name in NAMES}


def named_inputs(ids: np.ndarray, index: FeatureIndex) -> dict[str, np.ndarray]:
    """A vector of rows a feature, int32 `[n]`."""
    return {field.name: np.ascontiguousarray(ids[:, field.start]) for field in index.fields}


def rank_inputs(ids: np.ndarray, index: FeatureIndex) -> dict[str, np.ndarray]:
    """The user's rows once, int32 `[1, user_width]`, and each candidate's, int32 `[n, item_width]`."""
    cut = index.user_width
    return {"user_ids": ids[:1, :cut], "item_ids": np.ascontiguousarray(ids[:, cut:])}


def serialized(model: str, signature: str, output: str, inputs: dict[str, np.ndarray]) -> bytes:
    """A PredictRequest, ready to be sent any number of times."""
    request = prediction_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, array in inputs.items():
        pack(array, request.inputs[name], name)
    request.output_filter.append(output)
    return bytes(request.SerializeToString())


def rank_requests(directory: Path) -> tuple[Path, list[bytes]]:
    """An export in a folder of its own, and requests that rank 100 candidates each."""
    exported, index = ctrkit_model(directory / "export", warm=True)
    ids = [index.ids(impressions(CANDIDATES, seed)) for seed in range(10, 18)]
    return exported, [serialized("ctr", "rank", "ctr", rank_inputs(one, index)) for one in ids]
