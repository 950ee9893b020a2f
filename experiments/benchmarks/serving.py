"""Compare a served ctrkit model with the same network on tf.feature_column, fed by tf.Example, behind the same server.

    python experiments/benchmarks/serving.py [--rounds 10] [--requests 40] [--starts 3]

Both are Wide & Deep: 80 wide fields, 60 deep ones of dim 10, three layers of 256 units; a request ranks 100 candidates.
Each model has a server process of its own. The ways take turns within each round, so that a noisy machine slows all of
them; requests are built beforehand, except in the table that says otherwise. About two minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import psutil
import tensorflow as tf
from bars import draw_bars

from ctrkit.export import ExportOptions, export_model
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.layers import FieldEmbeddings, Inputs, SidedSum
from ctrkit.models.parts import click_model, logit
from ctrkit.models.tower import Tower
from ctrkit.schema import Schema
from ctrkit.serving import Client, Connection, serve_in_process
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


def ctrkit_model(directory: Path, *, warm: bool) -> tuple[Path, FeatureIndex]:
    features = {name: {"kind": "categorical", "side": "user" if is_user(name) else "item"} for name in NAMES}
    vocabularies = {n: Vocabulary.of([f"{i:04x}" for i in range(size)], [1] * size) for n, size in sizes().items()}
    index = FeatureIndex(Schema.from_dict({"label": "clicked", "features": features}), vocabularies, {})
    inputs = Inputs(index)
    wide = FieldEmbeddings(index, dim=1, fields=NAMES[:WIDE], name="linear")(inputs)
    deep = FieldEmbeddings(index, dim=DIM, fields=NAMES[WIDE:], name="embeddings")(inputs)
    tower = Tower(hidden=HIDDEN, activation="relu", dropout=0.0, batch_norm=False, seed=1)
    logits = [SidedSum(name="linear_logit")(wide), logit(tower.over(deep), seed=0)]
    model = click_model(inputs, logits, label_rate=None, name="wide_deep")
    buckets = (1, 10, CANDIDATES) if warm else ()
    return export_model(model, index, directory, options=ExportOptions(buckets=buckets)), index


def feature_column_model(directory: Path, *, warm: bool) -> Path:
    """TensorFlow's own Wide & Deep estimator: vocabulary lookups in the graph, parsed from serialized examples."""
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
    spec = tf.feature_column.make_parse_example_spec(wide + deep)
    receiver = tf.estimator.export.build_parsing_serving_input_receiver_fn(spec)
    path = Path(estimator.export_saved_model(str(directory / "export"), receiver).decode())
    if warm:
        (path / WARMUP_FILE).parent.mkdir()
        with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
            for count in (1, 10, CANDIDATES):
                log = prediction_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.signature_name = "predict"
                request.output_filter.append("logistic")
                pack(examples(impressions(count, seed=2)), request.inputs["examples"], "examples")
                writer.write(log.SerializeToString())
    return path


def examples(rows: Sequence[Impression]) -> np.ndarray:
    """Serialized `tf.Example` a candidate, as an array of bytes."""
    out = np.empty(len(rows), dtype=object)
    for i, row in enumerate(rows):
        example = tf.train.Example()
        for name, value in row.items():
            example.features.feature[name].bytes_list.value.append(value.encode())
        out[i] = example.SerializeToString()
    return out


# --- measuring ----------------------------------------------------------------------------------------------------


@dataclass
class Way:
    """One way to ask, and what was measured of it."""

    name: str
    signature: str
    output: str
    requests: list[dict[str, np.ndarray]]
    connection: Connection
    server: psutil.Process
    milliseconds: list[float] = field(default_factory=list)
    cpu: float = 0.0  # Seconds of the server's process.

    def ask(self, i: int) -> None:
        self.connection.predict(self.signature, self.requests[i % len(self.requests)], [self.output], deadline=60)

    def block(self, count: int) -> None:
        before = self.server.cpu_times()
        for i in range(count):
            start = time.perf_counter()
            self.ask(i)
            self.milliseconds.append((time.perf_counter() - start) * 1e3)
        after = self.server.cpu_times()
        self.cpu += after.user + after.system - before.user - before.system

    @property
    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def cpu_per_request(self) -> float:
        return self.cpu / len(self.milliseconds) * 1e3

    def kilobytes(self) -> float:
        request = prediction_pb2.PredictRequest()
        for name, array in self.requests[0].items():
            pack(array, request.inputs[name], name)
        return len(request.SerializeToString()) / 1e3


def ways_of(
    kind: str, target: str, pid: int, index: FeatureIndex, batches: Sequence[Sequence[Impression]]
) -> Iterator[Way]:
    connection, server = Connection(target), psutil.Process(pid)
    if kind == "feature_column":
        requests = [{"examples": examples(rows)} for rows in batches]
        yield Way("tf.feature_column, tf.Example", "predict", "logistic", requests, connection, server)
        return
    packed = [index.ids(rows) for rows in batches]
    cut = index.user_width
    yield Way("ctrkit, packed ids", "serving_default", "ctr", [{"ids": ids} for ids in packed], connection, server)
    split = [{"user_ids": ids[:1, :cut], "item_ids": np.ascontiguousarray(ids[:, cut:])} for ids in packed]
    yield Way("ctrkit, rank", "rank", "ctr", split, connection, server)


def first_requests(
    path: Path, kind: str, index: FeatureIndex, batches: Sequence[Sequence[Impression]], *, warmup: bool
) -> dict[str, tuple[float, float]]:
    """(first request, warm p50) in milliseconds of each way of one freshly started server, one way a start."""
    found = {}
    names = ["tf.feature_column, tf.Example"] if kind == "feature_column" else ["ctrkit, packed ids", "ctrkit, rank"]
    for name in names:
        with serve_in_process(path, require_index=False, warmup=warmup) as server:
            way = next(w for w in ways_of(kind, server.target, server.pid, index, batches) if w.name == name)
            way.connection.status()  # Connecting is not the model's doing.
            way.block(51)
            found[name] = (way.milliseconds[0], statistics.median(way.milliseconds[1:]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=40, help="of each way in a round")
    parser.add_argument("--starts", type=int, default=3, help="fresh servers for the first request; 0 skips that table")
    parser.add_argument("--plot", type=Path, default=Path("artifacts/benchmarks/serving.png"), help="the chart")
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # tf.feature_column warns of its deprecation hundreds of times.
    batches = [impressions(CANDIDATES, seed) for seed in range(10, 18)]
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        path, index = ctrkit_model(Path(directory) / "ctrkit", warm=True)
        paths = {"ctrkit": path, "feature_column": feature_column_model(Path(directory) / "feature_column", warm=True)}
        ways: list[Way] = []
        for kind, path in paths.items():
            server = stack.enter_context(serve_in_process(path, require_index=False))
            ways += ways_of(kind, server.target, server.pid, index, batches)
        for way in ways:
            way.block(20)
            way.milliseconds.clear()
            way.cpu = 0.0
        for _ in range(options.rounds):
            for way in ways:
                way.block(options.requests)
        report(ways)
        panels = {
            "round trip, p50": {way.name: way.p50 for way in ways[1:]},
            "server CPU a request": {way.name: way.cpu_per_request for way in ways[1:]},
        }
        draw_bars(options.plot, panels, headline=f"Ranking {CANDIDATES} candidates over loopback", unit="ms", digits=1)
        from_raw_values(ways, index, batches)
        stack.close()
        if options.starts:
            report_first_requests(paths, index, batches, options.starts)


def report(ways: Sequence[Way]) -> None:
    baseline = ways[-1]
    print(f"\n{CANDIDATES} candidates, {len(baseline.milliseconds)} requests each, taking turns\n")
    print("| way | round trip p50, ms | p99, ms | server CPU a request, ms | request, KB | p50 ratio | CPU ratio |")
    print("|---|---|---|---|---|---|---|")
    for way in ways:
        p99 = float(np.percentile(way.milliseconds, 99))
        print(
            f"| {way.name} | {way.p50:.2f} | {p99:.2f} | {way.cpu_per_request:.2f} | {way.kilobytes():.0f} | "
            f"{baseline.p50 / way.p50:.1f}x | {baseline.cpu_per_request / way.cpu_per_request:.1f}x |"
        )


def from_raw_values(ways: Sequence[Way], index: FeatureIndex, batches: Sequence[Sequence[Impression]]) -> None:
    """The caller's whole work: from raw values to scores, indexing (or building the examples) included."""
    ranking, baseline = ways[1], ways[-1]
    users = {name for name in NAMES if is_user(name)}
    client = Client(ranking.connection.target, index=index)
    split = [
        ({n: rows[0][n] for n in users}, [{n: v for n, v in row.items() if n not in users} for row in rows])
        for rows in batches
    ]
    times: dict[str, list[float]] = {"ctrkit, Client.rank": [], baseline.name: []}
    for i in range(60):
        rows, (user, ads) = batches[i % len(batches)], split[i % len(batches)]
        start = time.perf_counter()
        client.rank(user, {}, ads)
        middle = time.perf_counter()
        baseline.connection.predict("predict", {"examples": examples(rows)}, ["logistic"])
        times["ctrkit, Client.rank"].append((middle - start) * 1e3)
        times[baseline.name].append((time.perf_counter() - middle) * 1e3)
    print("\n| from raw values to scores, caller in Python | p50, ms |\n|---|---|")
    for name, values in times.items():
        print(f"| {name} | {statistics.median(values):.2f} |")


def report_first_requests(
    paths: dict[str, Path], index: FeatureIndex, batches: Sequence[Sequence[Impression]], starts: int
) -> None:
    print(f"\nFirst request after load, median of {starts} fresh servers a way\n")
    print("| way | warmup | first, ms | warm p50, ms | first / warm |\n|---|---|---|---|---|")
    for kind, path in paths.items():
        for warmup in (True, False):
            runs = [first_requests(path, kind, index, batches, warmup=warmup) for _ in range(starts)]
            for name in runs[0]:
                first = statistics.median(run[name][0] for run in runs)
                warm = statistics.median(run[name][1] for run in runs)
                shown = "replayed" if warmup else "skipped"
                print(f"| {name} | {shown} | {first:.1f} | {warm:.2f} | {first / warm:.1f} |")


if __name__ == "__main__":
    main()
