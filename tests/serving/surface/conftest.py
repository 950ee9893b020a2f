"""A SavedModel that ctrkit did not export, with signatures of every kind, and servers in processes of their own."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctrkit.serving import ServingOptions, serve_in_process
from ctrkit.serving.options import LimitOptions, RestOptions
from ctrkit.serving.process import ServerProcess


@pytest.fixture(scope="session")
def halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 3 of a model of half of x plus two; also Examples in, bytes through, and work that takes long."""
    import tensorflow as tf

    strings = tf.TensorSpec([None], tf.string, name="inputs")

    class Halves(tf.Module):
        def __init__(self) -> None:
            self.calls = tf.Variable(0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
        def half(self, x):  # type: ignore[no-untyped-def]
            return {"y": x / 2 + 2}

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.string, name="image_bytes"),
                tf.TensorSpec([None], tf.bool, name="flag"),
                tf.TensorSpec([None, 2], tf.int64, name="pair"),
            ]
        )
        def through(self, image_bytes, flag, pair):  # type: ignore[no-untyped-def]
            return {"image_bytes": image_bytes, "text": image_bytes, "flag": ~flag, "pair": pair}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="work")])
        def work(self, work):  # type: ignore[no-untyped-def]
            done = tf.while_loop(lambda i: i < work, lambda i: [i + 1], [tf.constant(0)])[0]
            return {"calls": self.calls.assign_add(1), "done": done}

        def parsed(self, inputs):  # type: ignore[no-untyped-def]
            return tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]

        @tf.function(input_signature=[strings])
        def classify(self, inputs):  # type: ignore[no-untyped-def]
            x = self.parsed(inputs)
            labels = tf.tile([["low", "high"]], [tf.shape(x)[0], 1])
            return {"classes": labels, "scores": tf.concat([1 - x, x], axis=1)}

        @tf.function(input_signature=[strings])
        def regress(self, inputs):  # type: ignore[no-untyped-def]
            return {"outputs": self.parsed(inputs) / 2 + 2}

    path = tmp_path_factory.mktemp("halves") / "3"
    module = Halves()
    names = {"serving_default": "half", "through": "through", "work": "work", "c": "classify", "r": "regress"}
    tf.saved_model.save(module, str(path), signatures={name: getattr(module, code) for name, code in names.items()})
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(path))
    updater.replace_method_name(signature_key="c", method_name="tensorflow/serving/classify")
    updater.replace_method_name(signature_key="r", method_name="tensorflow/serving/regress")
    updater.save(str(path))
    return path


@pytest.fixture(scope="session")
def ctr_server(export: Path) -> Iterator[ServerProcess]:
    """The exported ctrkit model behind both ports; slow clients are sent away early."""
    with serve_in_process(
        export.parent,
        rest=RestOptions(timeout=1.5, max_body_bytes=200_000),
        labels={"stable": 1},
        limits=LimitOptions(receive_timeout=1.0, max_message_bytes=200_000),
        poll_every=None,
    ) as server:
        yield server


@pytest.fixture(scope="session")
def halves_server(halves: Path) -> Iterator[ServerProcess]:
    """The other model behind both ports, one worker, room for two more requests."""
    options = ServingOptions(
        name="halves", require_index=False, rest=RestOptions(), workers=1, limits=LimitOptions(max_queue=2)
    )
    with serve_in_process(halves.parent, options) as server:
        yield server


Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="session")
def ask() -> Ask:
    """Ask over HTTP: the status, and the answer read from JSON where it is some."""

    def asked(
        server: ServerProcess,
        path: str,
        document: Any = None,
        *,
        body: bytes | None = None,
        method: str | None = None,
        compressed: bool = False,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        if document is not None:
            body = json.dumps(document).encode()
        headers = dict(headers or {})
        if compressed:
            assert body is not None
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        connection = http.client.HTTPConnection(str(server.rest_target), timeout=20)
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = answer.getheader("content-type") == "application/json"
        return answer.status, json.loads(text) if is_json else text.decode()

    return asked
