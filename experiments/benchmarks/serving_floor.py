"""Compare `rank` in process with the floor: the same network, with the same weights, in ONNX Runtime and in numpy.

    python experiments/benchmarks/serving_floor.py [--rounds 30] [--requests 20] [--no-baseline]

All in this process, one thread each, in turns; p50, minimum and CPU a request. ONNX Runtime is left out when it is not
installed (`pip install onnx onnxruntime`). Below: the parts of a request that are not the network. About two minutes.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # Before numpy: its floor is one thread's too.
os.environ["TF_NUM_INTRAOP_THREADS"] = "1"  # All sessions of a process share the threads of its first one.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import serving_models as models
import tensorflow as tf

from ctrkit.indexing import FeatureIndex
from ctrkit.serving import SavedModelRuntime
from ctrkit.serving.answers import model_spec, predict_response
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.servable import Servable
from ctrkit.serving.wire import array_of

Ask = Callable[[int], Any]
Inputs = Mapping[str, np.ndarray]


@dataclass
class Way:
    """One way to compute a request, and what was measured of it."""

    ask: Ask
    milliseconds: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def block(self, count: int) -> None:
        before = time.process_time()
        for i in range(count):
            start = time.perf_counter()
            self.ask(i)
            self.milliseconds.append((time.perf_counter() - start) * 1e3)
        self.cpu += time.process_time() - before

    @property
    def p50(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def cpu_per_request(self) -> float:
        return self.cpu / len(self.milliseconds) * 1e3


class Weights:
    """The exported network's numbers, by what they are, and where its fields lie."""

    def __init__(self, path: Path, index: FeatureIndex) -> None:
        read = {v.name.removesuffix(":0"): v.numpy() for v in tf.saved_model.load(str(path)).served_variables}
        self.linear, self.table = read["linear/table"], read["embeddings/table"]
        self.dense = [(read[f"hidden_{n}/kernel"], read[f"hidden_{n}/bias"]) for n in (1, 2, 3)]
        self.last, self.bias = read["deep_logit/kernel"], read["ctr/bias"]
        self.columns: dict[tuple[bool, bool], slice] = {}  # (user's, wide) -> columns of that side's ids.
        self.offsets: dict[tuple[bool, bool], np.ndarray] = {}  # The first row of each column's field in its table.
        next_row = {True: 0, False: 0}
        rows: dict[tuple[bool, bool], list[int]] = {}
        for at, one in enumerate(index.fields):
            users, wide = at < index.user_width, one.name.startswith("wide")
            rows.setdefault((users, wide), []).append(next_row[wide])
            place = at if users else at - index.user_width
            first = self.columns.get((users, wide), slice(place, place)).start
            self.columns[users, wide] = slice(first, place + 1)
            next_row[wide] += one.rows
        self.offsets = {key: np.array(value, np.int32) for key, value in rows.items()}
        self.cut = len(self.offsets[True, False]) * models.DIM  # Rows of the first kernel that are the user's.


def numpy_floor(weights: Weights) -> Callable[[Inputs], np.ndarray]:
    (first, bias_1), (second, bias_2), (third, bias_3) = weights.dense
    users, items = first[: weights.cut], np.ascontiguousarray(first[weights.cut :])

    def rows(ids: np.ndarray, user: bool, wide: bool) -> np.ndarray:
        return ids[:, weights.columns[user, wide]] + weights.offsets[user, wide]

    def sides(ids: np.ndarray, user: bool) -> tuple[np.ndarray, np.ndarray]:
        deep = weights.table.take(rows(ids, user, False), axis=0).reshape(len(ids), -1)
        return weights.linear.take(rows(ids, user, True), axis=0).sum(axis=1), deep

    def score(inputs: Inputs) -> np.ndarray:
        wide_user, deep_user = sides(inputs["user_ids"], True)
        wide_item, deep_item = sides(inputs["item_ids"], False)
        x = deep_item @ items
        x += deep_user @ users + bias_1
        for kernel, bias in ((second, bias_2), (third, bias_3)):
            np.maximum(x, 0, out=x)
            x = x @ kernel
            x += bias
        np.maximum(x, 0, out=x)
        found: np.ndarray = 1 / (1 + np.exp(-(x @ weights.last + wide_user + wide_item + weights.bias)))
        return found

    return score


def onnx_floor(weights: Weights) -> Callable[[Inputs], np.ndarray]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(array: Any, name: str) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def looked_up(ids: str, user: bool, wide: bool) -> str:
        place, name = weights.columns[user, wide], f"{ids}_{'wide' if wide else 'deep'}"
        bounds = [
            constant(np.array([at]), f"{name}_{what}") for what, at in (("from", place.start), ("to", place.stop))
        ]
        cut = node("Slice", [ids, *bounds, "axis_1"], f"{name}_cut")
        rows = node("Add", [cut, constant(weights.offsets[user, wide], f"{name}_offsets")], f"{name}_rows")
        vectors = node("Gather", ["linear" if wide else "table", rows], f"{name}_vectors", axis=0)
        if wide:
            return node("ReduceSum", [vectors, "axis_1"], f"{name}_sum", keepdims=0)
        flat = constant(np.array([-1, len(weights.offsets[user, wide]) * models.DIM]), f"{name}_shape")
        return node("Reshape", [vectors, flat], f"{name}_flat")

    constant(np.array([1]), "axis_1")
    constant(weights.linear, "linear")
    constant(weights.table, "table")
    (first, bias_1), *others = weights.dense
    constant(first[: weights.cut], "users")
    constant(first[weights.cut :], "items")
    user = node("Gemm", [looked_up("user_ids", True, False), "users", constant(bias_1, "bias_1")], "user_half")
    item = node("MatMul", [looked_up("item_ids", False, False), "items"], "item_half")
    x = node("Relu", [node("Add", [item, user], "first")], "relu_1")
    for number, (kernel, bias) in enumerate(others, start=2):
        names = [constant(kernel, f"kernel_{number}"), constant(bias, f"bias_{number}")]
        x = node("Relu", [node("Gemm", [x, *names], f"dense_{number}")], f"relu_{number}")
    deep = node("Gemm", [x, constant(weights.last, "last"), constant(weights.bias, "bias")], "deep")
    wide = node("Add", [looked_up("user_ids", True, True), looked_up("item_ids", False, True)], "wide")
    node("Sigmoid", [node("Add", [deep, wide], "logit")], "ctr")
    widths = {ids: max(weights.columns[user, wide].stop for wide in (True, False)) for ids, user in _SIDES.items()}
    taken = [
        helper.make_tensor_value_info(ids, TensorProto.INT32, [1 if ids == "user_ids" else None, width])
        for ids, width in widths.items()
    ]
    given = [helper.make_tensor_value_info("ctr", TensorProto.FLOAT, [None, 1])]
    graph = helper.make_graph(nodes, "rank", taken, given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))[0]  # type: ignore[no-any-return]


_SIDES = {"user_ids": True, "item_ids": False}


def turns(ways: Mapping[str, Way], rounds: int, requests: int) -> None:
    for way in ways.values():
        way.block(requests)
        way.milliseconds.clear()
        way.cpu = 0.0
    for _ in range(rounds):
        for way in ways.values():
            way.block(requests)


def networks(servable: Servable, baseline: SavedModelRuntime | None, path: Path, index: FeatureIndex) -> dict[str, Way]:
    batches = [models.impressions(models.CANDIDATES, seed) for seed in range(10, 18)]
    ids = [index.ids(rows) for rows in batches]
    rank = [models.rank_inputs(one, index) for one in ids]
    named = [models.named_inputs(one, index) for one in ids]
    ways: dict[str, Way] = {}
    if baseline is not None:
        fed = [models.example_inputs(rows) for rows in batches]
        ways["tf.feature_column, tf.Example"] = Way(lambda i: baseline.run("predict", fed[i % 8], ["logistic"]))
    ways["named tensors"] = Way(lambda i: servable.predict("named", named[i % 8], ["ctr"]))
    ways["packed ids"] = Way(lambda i: servable.predict("serving_default", {"ids": ids[i % 8]}, ["ctr"]))
    ways["rank"] = Way(lambda i: servable.predict("rank", rank[i % 8], ["ctr"]))
    raw = [models.serialized("ctr", "rank", "ctr", one) for one in rank]
    read = prediction_pb2.PredictRequest.FromString
    ways["rank, from bytes to bytes"] = Way(lambda i: servable.answer(read(raw[i % 8]), "ctr"))
    weights = Weights(path, index)
    floors = {"floor: numpy": numpy_floor(weights)}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
        floors["floor: ONNX Runtime"] = onnx_floor(weights)
    for name, floor in floors.items():
        difference = np.abs(floor(rank[0]) - servable.predict("rank", rank[0])["ctr"]).max()
        assert difference < 1e-5, (name, difference)
        ways[name] = Way(lambda i, floor=floor: floor(rank[i % 8]))  # type: ignore[misc]
    return ways


def pieces(servable: Servable, index: FeatureIndex) -> dict[str, Way]:
    """What a request costs beside the network."""
    rank = models.rank_inputs(index.ids(models.impressions(models.CANDIDATES, 10)), index)
    raw = models.serialized("ctr", "rank", "ctr", rank)
    read = prediction_pb2.PredictRequest.FromString
    parsed, scores = read(raw), servable.predict("rank", rank)
    spec = model_spec("ctr", 1, "rank")
    return {
        "client: pack and serialize": Way(lambda _: models.serialized("ctr", "rank", "ctr", rank)),
        "server: parse": Way(lambda _: read(raw)),
        "server: tensors to arrays": Way(lambda _: {n: array_of(t, n) for n, t in parsed.inputs.items()}),
        "server: scores to bytes": Way(lambda _: predict_response(scores, spec)),
        "server: an empty run (`fingerprint`)": Way(lambda _: servable.predict("fingerprint", {})),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=20, help="of each way in a round")
    parser.add_argument("--no-baseline", action="store_true", help="leave tf.feature_column out: a minute less")
    options = parser.parse_args()
    tf.get_logger().setLevel("ERROR")
    with tempfile.TemporaryDirectory() as directory:
        path, index = models.ctrkit_model(Path(directory) / "ctrkit", warm=True)
        servable, baseline = Servable.load(path, 1), None
        if not options.no_baseline:
            folder = models.feature_column_model(Path(directory) / "feature_column", warm=False)
            baseline = SavedModelRuntime.load(folder)
        ways = networks(servable, baseline, path, index)
        turns(ways, options.rounds, options.requests)
        floor = min(way.cpu_per_request for name, way in ways.items() if name.startswith("floor"))
        first = next(iter(ways.values()))
        print(f"\n{models.CANDIDATES} candidates, {options.rounds * options.requests} requests each, taking turns\n")
        print("| in process, one thread | p50, ms | least, ms | CPU, ms | of the lower floor | less than the first |")
        print("|---|---|---|---|---|---|")
        for name, way in ways.items():
            cpu = way.cpu_per_request
            print(
                f"| {name} | {way.p50:.3f} | {min(way.milliseconds):.3f} | {cpu:.3f} | {cpu / floor:.2f} | "
                f"{first.cpu_per_request / cpu:.1f}x |"
            )
        parts = pieces(servable, index)
        turns(parts, options.rounds, options.requests)
        print("\n| beside the network | p50, ms | least, ms |\n|---|---|---|")
        for name, way in parts.items():
            print(f"| {name} | {way.p50:.3f} | {min(way.milliseconds):.3f} |")


if __name__ == "__main__":
    main()
