"""Merged requests: the scores of each, whoever else was in the batch; refusals when too many wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from ctrkit.errors import RequestError
from ctrkit.serving.batching import BatchingOptions
from ctrkit.serving.batching.batcher import Batcher
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.servable import Servable


class Doubling:
    """A model that doubles; it waits until it may go on, and notes what it was given."""

    def __init__(self) -> None:
        self.may_run, self.started = threading.Event(), threading.Event()
        self.sizes: list[int] = []

    def __call__(self, signature: str, inputs: Any, outputs: tuple[str, ...]) -> dict[str, np.ndarray]:
        self.started.set()
        assert self.may_run.wait(20)
        self.sizes.append(len(inputs["x"]))
        if (inputs["x"] < 0).any():
            raise RequestError("negative")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def doubling() -> Doubling:
    return Doubling()


@pytest.fixture
def make(doubling: Doubling):  # type: ignore[no-untyped-def]
    made: list[Batcher] = []

    def batcher(**options: Any) -> Batcher:
        made.append(Batcher(doubling, BatchingOptions(num_batch_threads=1, **options)))
        return made[-1]

    yield batcher
    doubling.may_run.set()
    for one in made:
        one.close()


def ask(pool: futures.Executor, batcher: Batcher, *values: int, width: int = 1) -> futures.Future[Any]:
    x = np.array(values, np.int32).reshape(-1, 1).repeat(width, axis=1)
    return pool.submit(lambda: batcher.run("s", {"x": x}, (), len(x))["y"][:, 0].tolist())


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(batcher: Batcher) -> int:
    return sum(batch.rows for queue in batcher._queues.values() for batch in queue)


def test_requests_that_wait_together_are_computed_together(make, doubling: Doubling) -> None:  # type: ignore[no-untyped-def]
    batcher = make(max_batch_size=10, max_enqueued_batches=5)
    with futures.ThreadPoolExecutor(8) as pool:
        first = ask(pool, batcher, 1)
        assert doubling.started.wait(20)
        rest = [ask(pool, batcher, n, n + 1) for n in range(2, 6)]
        until(lambda: waiting(batcher) == 8)
        large = ask(pool, batcher, *range(100, 125))  # Fills what is left, then two batches and a half.
        until(lambda: waiting(batcher) == 33)
        doubling.may_run.set()
        assert first.result() == [2]
        assert [one.result() for one in rest] == [[2 * n, 2 * n + 2] for n in range(2, 6)]
        assert large.result() == [2 * n for n in range(100, 125)]
    assert doubling.sizes == [1, 10, 10, 10, 3]


def test_batches_are_padded_to_allowed_sizes(make, doubling: Doubling) -> None:  # type: ignore[no-untyped-def]
    batcher = make(max_batch_size=8, allowed_batch_sizes=(4, 8))
    doubling.may_run.set()
    for rows in (1, 4, 5, 8, 9):
        x = np.arange(rows, dtype=np.int32).reshape(-1, 1)
        assert batcher.run("s", {"x": x}, (), rows)["y"].tolist() == (x * 2).tolist()
    assert doubling.sizes == [4, 4, 8, 8, 8, 4]


def test_one_request_does_not_fail_for_anothers_sake(make, doubling: Doubling) -> None:  # type: ignore[no-untyped-def]
    batcher = make(max_batch_size=10)
    with futures.ThreadPoolExecutor(8) as pool:
        first = ask(pool, batcher, 1)
        assert doubling.started.wait(20)
        good, bad = ask(pool, batcher, 5), ask(pool, batcher, -1)
        until(lambda: waiting(batcher) == 2)
        doubling.may_run.set()
        assert (first.result(), good.result()) == ([2], [10])
        with pytest.raises(RequestError, match="negative"):
            bad.result()


def test_a_full_queue_refuses_at_once_and_whole(make, doubling: Doubling) -> None:  # type: ignore[no-untyped-def]
    batcher = make(max_batch_size=2, max_enqueued_batches=2)
    with futures.ThreadPoolExecutor(8) as pool:
        first = ask(pool, batcher, 0)
        assert doubling.started.wait(20)
        kept = [ask(pool, batcher, 1, 2), ask(pool, batcher, 3)]
        until(lambda: waiting(batcher) == 3)
        with pytest.raises(Refusal, match=r"2 batches of signature 's' wait.*max_enqueued_batches") as caught:
            batcher.run("s", {"x": np.zeros((3, 1), np.int32)}, (), 3)
        assert caught.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert waiting(batcher) == 3  # Nothing of it stays behind.
        doubling.may_run.set()
        assert [first.result(), *[one.result() for one in kept]] == [[0], [2, 4], [6]]


def test_an_incomplete_batch_waits_for_its_time_and_no_longer(make, doubling: Doubling) -> None:  # type: ignore[no-untyped-def]
    doubling.may_run.set()
    batcher = make(max_batch_size=3, batch_timeout_micros=200_000)
    with futures.ThreadPoolExecutor(8) as pool:
        start = time.monotonic()
        assert ask(pool, batcher, 1).result() == [2]
        assert 0.2 <= time.monotonic() - start < 5
        both = [ask(pool, batcher, 1), ask(pool, batcher, 2, 3)]
        assert [one.result() for one in both] == [[2], [4, 6]]
    assert doubling.sizes == [1, 3]


@pytest.mark.parametrize("pad", [False, True])
def test_other_lengths_are_merged_only_when_asked_for(make, doubling: Doubling, pad: bool) -> None:  # type: ignore[no-untyped-def]
    batcher = make(max_batch_size=10, pad_variable_length_inputs=pad)
    with futures.ThreadPoolExecutor(8) as pool:
        first = ask(pool, batcher, 1)
        assert doubling.started.wait(20)
        rest = [ask(pool, batcher, 5, width=2), ask(pool, batcher, 6, width=3)]
        until(lambda: waiting(batcher) == 2)
        doubling.may_run.set()
        assert [first.result(), *[one.result() for one in rest]] == [[2], [10], [12]]
    assert doubling.sizes == ([1, 2] if pad else [1, 1, 1])


def test_an_output_without_a_row_each_is_refused(make) -> None:  # type: ignore[no-untyped-def]
    batcher = Batcher(lambda *_: {"total": np.float32(1).reshape(())}, BatchingOptions(num_batch_threads=1))
    with pytest.raises(Refusal, match=r"'total' of signature 's' has shape \[\] for 2 rows.*without batching"):
        batcher.run("s", {"x": np.zeros((2, 1))}, (), 2)
    batcher.close()


def test_a_servable_merges_all_but_rank(export: Path, index) -> None:  # type: ignore[no-untyped-def]
    runs: list[tuple[int, int]] = []
    options = BatchingOptions(max_batch_size=32, batch_timeout_micros=50_000, num_batch_threads=1)
    plain = Servable.load(export, 1)
    merging = Servable.load(export, 1, batching=options, on_batch=lambda rows, padded: runs.append((rows, padded)))
    runs.clear()
    ids = np.random.default_rng(0).integers(0, index.rows_per_column, size=(80, index.width)).astype(np.int32)
    parts = [ids[:1], ids[1:8], ids[8:8], ids[8:20], ids[20:]]
    with futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda part: merging.predict("serving_default", {"ids": part})["ctr"], parts))
    for part, scores in zip(parts, got, strict=True):
        np.testing.assert_allclose(scores, plain.predict("serving_default", {"ids": part})["ctr"], rtol=0, atol=1e-6)
    assert sum(rows for rows, _ in runs) == 80
    assert max(rows for rows, _ in runs) == 32
    runs.clear()
    rank = {"user_ids": ids[:1, : index.user_width], "item_ids": ids[:, index.user_width :]}
    np.testing.assert_array_equal(merging.predict("rank", rank)["ctr"], plain.predict("rank", rank)["ctr"])
    assert merging.predict("fingerprint", {})["fingerprint"][0].decode() == index.fingerprint
    assert not runs
    plain.close()
    merging.close()
