"""Send a server 20,000 broken requests over gRPC and REST, with valid ones in between whose scores must not change.

    python experiments/benchmarks/serving_abuse.py [--requests 20000] [--seed 0]

Every kind of damage is made at random: names, shapes, types, values, lengths, bytes cut and flipped, JSON broken, and
clients that send half a request and go silent. An answer must come with a status of the caller's fault and, where the
damage has a name, with that name. Slow clients hold connections open all the while. About five minutes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import psutil
import serving_models as models

from ctrkit.indexing import FeatureIndex
from ctrkit.serving import serve_in_process
from ctrkit.serving.options import RestOptions
from ctrkit.serving.protos import prediction_pb2
from ctrkit.serving.wire import array_of

SERVICE = "/tensorflow.serving.PredictionService/"
CALLERS_FAULT = {"INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"}
TOO_MUCH = {"RESOURCE_EXHAUSTED"}  # The answer to a message larger than the limit.
CALLERS_FAULT_HTTP = {400, 404, 405, 411, 412, 413, 414, 415, 431, 501}
VALID_EVERY = 20  # Broken requests between two valid ones.
SLOW_CLIENTS = 16
PATIENCE = 20.0  # Seconds after which an answer counts as a hang.


@dataclass(frozen=True)
class Broken:
    """A request that cannot be answered with scores; `names` are words of which the refusal must hold one."""

    kind: str
    body: bytes
    names: tuple[str, ...] = ()
    method: str = "Predict"
    path: str = ""  # Of REST.
    may_be_fine: bool = False  # Bytes flipped at random may still be a request.


class Damage:
    """Makes broken requests out of a valid one."""

    def __init__(self, index: FeatureIndex, seed: int) -> None:
        self.random = random.Random(seed)
        self.index = index
        self.ids = index.ids(models.impressions(5, seed=3))
        self.grpc = [getattr(self, name) for name in dir(self) if name.startswith("grpc_")]
        self.rest = [getattr(self, name) for name in dir(self) if name.startswith("rest_")]

    def request(self) -> Any:
        inputs = models.rank_inputs(self.ids, self.index)
        return prediction_pb2.PredictRequest.FromString(models.serialized("ctr", "rank", "ctr", inputs))

    def word(self) -> str:
        return "".join(self.random.choice("abcxyz_/é \n%") for _ in range(self.random.randint(1, 30)))

    # --- gRPC ---

    def grpc_model_name(self) -> Broken:
        request = self.request()
        request.model_spec.name = self.word()
        return Broken("model name", request.SerializeToString(), ("odel", "ervable"))

    def grpc_version(self) -> Broken:
        request = self.request()
        request.model_spec.version.value = self.random.choice([-1, 0, 2, 10**12])
        return Broken("version", request.SerializeToString(), ("ersion", "ervable"))

    def grpc_label(self) -> Broken:
        request = self.request()
        request.model_spec.version_label = self.word()
        return Broken("label", request.SerializeToString(), ("label",))

    def grpc_signature(self) -> Broken:
        request = self.request()
        request.model_spec.signature_name = self.word()
        return Broken("signature", request.SerializeToString(), ("ignature",))

    def grpc_input_name(self) -> Broken:
        request, word = self.request(), self.word()
        request.inputs[word].CopyFrom(request.inputs["item_ids"])
        if self.random.random() < 0.5:
            del request.inputs["item_ids"]
        return Broken("input name", request.SerializeToString(), ("item_ids", repr(word)[1:-1], word))

    def grpc_input_missing(self) -> Broken:
        request = self.request()
        name = self.random.choice(["user_ids", "item_ids"])
        del request.inputs[name]
        return Broken("input missing", request.SerializeToString(), (name,))

    def grpc_output_name(self) -> Broken:
        request = self.request()
        request.output_filter.append("ctrx" + self.word())
        return Broken("output name", request.SerializeToString(), ("ctrx", "output"))

    def grpc_shape(self) -> Broken:
        request = self.request()
        name = self.random.choice(["user_ids", "item_ids"])
        shape = request.inputs[name].tensor_shape
        sizes = self.random.choice([[], [0], [-1, 5], [2**62, 4], [2**31, 2**31], [7, 7], [1] * 40, [5, 5, 5]])
        del shape.dim[:]
        for size in sizes:
            shape.dim.add().size = size
        return Broken("shape", request.SerializeToString(), (name,))

    def grpc_type(self) -> Broken:
        request = self.request()
        name = self.random.choice(["user_ids", "item_ids"])
        request.inputs[name].dtype = self.random.choice([0, 1, 2, 4, 7, 8, 9, 10, 14, 20, 21, 101, 999, -3])
        return Broken("type", request.SerializeToString(), (name,))

    def grpc_floats(self) -> Broken:
        request = self.request()
        tensor = request.inputs["user_ids"]
        tensor.dtype = 1
        tensor.tensor_content = np.full(
            self.index.user_width, self.random.choice([np.nan, np.inf, -1.0]), "f4"
        ).tobytes()
        return Broken("NaN for ids", request.SerializeToString(), ("user_ids",))

    def grpc_ids(self) -> Broken:
        request = self.request()
        ids = self.ids[:, self.index.user_width :].copy()
        row, column = self.random.randrange(len(ids)), self.random.randrange(ids.shape[1])
        ids[row, column] = self.random.choice([-1, -(2**31), 2**31 - 1, 10**8])
        request.inputs["item_ids"].tensor_content = np.ascontiguousarray(ids).tobytes()
        field = [f.name for f in self.index.fields if f.start == self.index.user_width + column]
        return Broken("id out of range", request.SerializeToString(), tuple(field))

    def grpc_content_length(self) -> Broken:
        request = self.request()
        tensor = request.inputs["item_ids"]
        cut = self.random.randrange(1, len(tensor.tensor_content))
        tensor.tensor_content = self.random.choice([tensor.tensor_content[:cut], tensor.tensor_content * 2])
        return Broken("content length", request.SerializeToString(), ("item_ids",))

    def grpc_two_users(self) -> Broken:
        request = self.request()
        request.inputs["user_ids"].CopyFrom(request.inputs["user_ids"])
        tensor = request.inputs["user_ids"]
        tensor.tensor_shape.dim[0].size = 3
        tensor.tensor_content = tensor.tensor_content * 3
        return Broken("three users", request.SerializeToString(), ("user_ids",))

    def grpc_cut(self) -> Broken:
        raw = self.request().SerializeToString()
        return Broken("cut", raw[: self.random.randrange(1, len(raw) - 1)], may_be_fine=True)

    def grpc_flipped(self) -> Broken:
        raw = bytearray(self.request().SerializeToString())
        for _ in range(self.random.randint(1, 20)):
            raw[self.random.randrange(len(raw))] = self.random.randrange(256)
        return Broken("bytes flipped", bytes(raw), may_be_fine=True)

    def grpc_noise(self) -> Broken:
        return Broken("noise", self.random.randbytes(self.random.randint(1, 2000)), may_be_fine=True)

    def grpc_other_methods(self) -> Broken:
        method = self.random.choice(["Classify", "Regress", "GetModelMetadata", "MultiInference", "Train"])
        return Broken(f"{method} with noise", self.random.randbytes(40), method=method, may_be_fine=True)

    # --- REST ---

    def _json(self, kind: str, body: Any, names: tuple[str, ...] = (), path: str = "/v1/models/ctr:predict") -> Broken:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return Broken(kind, raw, names, path=path)

    def _rows(self) -> dict[str, Any]:
        return {"signature_name": "serving_default", "instances": self.ids.tolist()}

    def rest_json_cut(self) -> Broken:
        raw = json.dumps(self._rows()).encode()
        return self._json("JSON cut", raw[: self.random.randrange(1, len(raw) - 1)])

    def rest_json_noise(self) -> Broken:
        return self._json("noise as JSON", self.random.randbytes(self.random.randint(1, 500)))

    def rest_deep(self) -> Broken:
        depth = self.random.choice([50, 5_000, 200_000])
        return self._json("JSON nested deeply", b'{"instances":' + b"[" * depth + b"]" * depth + b"}")

    def rest_keys(self) -> Broken:
        return self._json("keys", {self.word(): 1}, ("instances", "inputs"))

    def rest_ragged(self) -> Broken:
        rows = self.ids.tolist()
        rows[self.random.randrange(len(rows))].append(1)
        return self._json("ragged rows", {"instances": rows})

    def rest_values(self) -> Broken:
        rows: list[list[Any]] = self.ids.tolist()
        value = self.random.choice(["x", None, True, 1.5, {"a": 1}, 10**30, -1, [1], {"b64": "?"}])
        rows[self.random.randrange(len(rows))][self.random.randrange(self.index.width)] = value
        return self._json("values", {"instances": rows})

    def rest_nan(self) -> Broken:
        return self._json("NaN", json.dumps(self._rows()).replace("[[", "[[NaN, ", 1).encode())

    def rest_signature(self) -> Broken:
        return self._json("signature", {**self._rows(), "signature_name": self.random.choice(["x", 3, None, {}])})

    def rest_path(self) -> Broken:
        model = "/v1/models/ctr"
        path = self.random.choice(
            [
                *("/", "/v1", "/%00", "/" + "a" * 5000, "/../../etc", "/v1/models/x:predict"),
                *(f"{model}{end}:predict" for end in ("/versions/x", "/versions/99", "/labels/none")),
                f"{model}:fly",
            ]
        )
        return self._json("path", self._rows(), path=path)

    def rest_named(self) -> Broken:
        name = self.random.choice(models.NAMES)
        columns = {field.name: self.ids[:, field.start].tolist() for field in self.index.fields}
        columns[name] = self.random.choice([[1], "x", None, [-1] * 5, [[1]] * 5, [2**40] * 5])
        return self._json("named column", {"signature_name": "named", "inputs": columns}, (name,))


class Referee:
    """Sends requests, judges the answers, counts what was wrong."""

    def __init__(self, target: str, rest: str, damage: Damage) -> None:
        self.channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
        self.rest, self.damage = rest, damage
        self.statuses: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.slowest = 0.0
        self.valid = damage.request().SerializeToString()
        self.expected = self.scores()

    def scores(self) -> np.ndarray:
        raw = self.channel.unary_unary(SERVICE + "Predict")(self.valid, timeout=PATIENCE)
        return array_of(prediction_pb2.PredictResponse.FromString(raw).outputs["ctr"], "ctr")

    def check_valid(self) -> None:
        try:
            got = self.scores()
        except grpc.RpcError as error:
            self.faults.append(f"a valid request was refused: {error.code()}: {error.details()}")
            return
        if not np.array_equal(got, self.expected):
            self.faults.append(f"a valid request scored {got.ravel()}, not {self.expected.ravel()}")

    def over_grpc(self, broken: Broken) -> None:
        try:
            self.channel.unary_unary(SERVICE + broken.method)(broken.body, timeout=PATIENCE)
            status, text = "OK", ""
        except grpc.RpcError as error:
            status, text = error.code().name, error.details() or ""
        good = status in CALLERS_FAULT or (status == "OK" and broken.may_be_fine)
        self._judge(f"gRPC {broken.kind}", broken, status, text, good)

    def over_rest(self, broken: Broken) -> None:
        host, _, port = self.rest.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        try:
            connection.putrequest("POST", broken.path, skip_accept_encoding=True)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(broken.body)))
            connection.endheaders(broken.body)
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            status, text = 0, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        self._judge(f"REST {broken.kind}", broken, str(status), text, status in CALLERS_FAULT_HTTP)

    def _judge(self, kind: str, broken: Broken, status: str, text: str, good: bool) -> None:
        self.statuses[f"{kind.split()[0]} {status}"] += 1
        self.kinds[kind] += 1
        if not good:
            self.faults.append(f"{kind}: {status}: {text[:200]}")
        elif status != "OK" and broken.names and not any(name in text for name in broken.names):
            self.faults.append(f"{kind}: none of {broken.names} is named: {text[:200]}")

    def timed(self, send: Callable[[Broken], None], broken: Broken) -> None:
        begin = time.monotonic()
        send(broken)
        self.slowest = max(self.slowest, time.monotonic() - begin)


def slow_clients(targets: list[str]) -> list[socket.socket]:
    """Connections that began a request and say nothing more."""
    found = []
    for i in range(SLOW_CLIENTS):
        host, _, port = targets[i % len(targets)].rpartition(":")
        one = socket.create_connection((host, int(port)))
        one.sendall(
            b"POST /v1/models/ctr:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{"
            if i % 4 < 2
            else b"PRI"
        )
        found.append(one)
    return found


def too_large(referee: Referee, megabytes: int) -> None:
    """A message beyond the limit is refused by its size, whatever is in it."""
    try:
        referee.channel.unary_unary(SERVICE + "Predict")(b"\x0a" * (megabytes << 20), timeout=PATIENCE)
        referee.faults.append("a message beyond the limit was answered")
    except grpc.RpcError as error:
        if error.code().name not in TOO_MUCH | CALLERS_FAULT:
            referee.faults.append(f"a message beyond the limit: {error.code().name}: {error.details()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000, help="broken ones; half over gRPC, half over REST")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as directory:
        exported, index = models.ctrkit_model(Path(directory), warm=True)
        with serve_in_process(exported.parent, rest=RestOptions()) as server:
            assert server.rest_target is not None
            damage = Damage(index, options.seed)
            referee = Referee(server.target, server.rest_target, damage)
            memory = psutil.Process(server.pid).memory_info().rss
            silent: list[socket.socket] = []
            begin = time.monotonic()
            for i in range(options.requests // 2):
                if i % 1000 == 0:
                    silent += slow_clients([server.target, server.rest_target])
                referee.timed(referee.over_grpc, damage.random.choice(damage.grpc)())
                referee.timed(referee.over_rest, damage.random.choice(damage.rest)())
                if i % (VALID_EVERY // 2) == 0:
                    referee.check_valid()
                if i % 1000 == 999:
                    print(
                        f"{2 * (i + 1):>7,} sent, {len(referee.faults)} faults, {time.monotonic() - begin:.0f} s",
                        flush=True,
                    )
            too_large(referee, 80)
            referee.check_valid()
            alive = server.process.poll() is None
            grown = (psutil.Process(server.pid).memory_info().rss - memory) / 1e6
            for one in silent:
                one.close()
    print(
        f"\n{sum(referee.kinds.values()):,} broken requests of {len(referee.kinds)} kinds, {len(silent)} silent clients"
    )
    print("| status | answers |\n|---|---|")
    for status, count in sorted(referee.statuses.items()):
        print(f"| {status} | {count:,} |")
    print(f"\nServer alive: {alive}; slowest answer {referee.slowest * 1e3:.0f} ms; memory {grown:+.0f} MB")
    print(f"Faults: {len(referee.faults)}")
    for fault, count in Counter(referee.faults).most_common(20):
        print(f"  {count} x {fault}")
    raise SystemExit(1 if referee.faults or not alive else 0)


if __name__ == "__main__":
    main()
