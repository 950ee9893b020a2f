"""Merge the requests of concurrent callers into runs of the model, in threads of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence

import grpc
import numpy as np

from ctrkit.serving.batching.batch import Batch, Outputs, Task, merged, shares
from ctrkit.serving.batching.options import BatchingOptions
from ctrkit.serving.batching.padding import Arrays, padded_size
from ctrkit.serving.refusal import Refusal

Run = Callable[[str, Arrays, tuple[str, ...]], Outputs]  # (signature, inputs, outputs)
Kind = tuple[str, tuple[str, ...], Hashable]  # Signature, outputs, shapes behind the first axis: what may be merged.


class Batcher:
    """The batches of one model version.

    A batch is computed as soon as it is full, or `batch_timeout_micros` after its first request, when a thread is free.
    Batches of different kinds take turns.
    """

    def __init__(self, run: Run, options: BatchingOptions, on_batch: Callable[[int, int], None] | None = None) -> None:
        """`run` must be safe to call from several threads; `on_batch` is told (rows, rows with padding) of each run."""
        self._run, self._options, self._on_batch = run, options, on_batch
        self._queues: dict[Kind, deque[Batch]] = {}  # In the order of turns; none is empty.
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name="ctrkit-batching", daemon=True)
            for _ in range(options.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, signature: str, inputs: Arrays, outputs: tuple[str, ...], rows: int) -> Outputs:
        """The outputs for `inputs`, all of `rows` > 0 rows, computed together with those of others.

        Raises `Refusal` when too many batches wait, and what `run` raises for these inputs.
        """
        variable = self._options.pad_variable_length_inputs
        shapes = tuple((name, len(a.shape) if variable else a.shape[1:]) for name, a in sorted(inputs.items()))
        tasks = self._enqueue((signature, outputs, shapes), inputs, rows)
        parts = [task.done.result() for task in tasks]
        if len(parts) == 1:
            return parts[0]
        return _rejoined(parts)

    def close(self) -> None:
        """Compute what waits, then end the threads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _enqueue(self, kind: Kind, inputs: Arrays, rows: int) -> list[Task]:
        """Place a request in the open batch and, as far as it does not fit, in new ones: in all of them or in none."""
        largest = self._options.max_batch_size
        with self._changed:
            queue = self._queues.get(kind, deque())
            space = largest - queue[-1].rows if queue else 0
            if rows > space and rows <= largest:
                space = 0  # It is not cut for what is left in a batch, only because it does not fit into any.
            missing = -(-max(0, rows - space) // largest)
            if len(queue) + missing > self._options.max_enqueued_batches and missing:
                raise Refusal(
                    f"The batching queue is full: {len(queue)} batches of signature {kind[0]!r} wait, at most "
                    f"{self._options.max_enqueued_batches} may (`max_enqueued_batches`). Try another server, or again "
                    "after a while.",
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                )
            tasks, start = [], 0
            while start < rows:
                count = min(rows - start, space or largest)
                if not space:
                    queue.append(Batch(due=time.monotonic() + self._options.batch_timeout_micros / 1e6))
                whole = count == rows
                part = inputs if whole else {name: array[start : start + count] for name, array in inputs.items()}
                task = Task(part, count)
                queue[-1].add(task)
                tasks.append(task)
                start, space = start + count, 0
            self._queues[kind] = queue
            self._changed.notify()
        return tasks

    def _work(self) -> None:
        while True:
            with self._changed:
                found = self._next()
                while found is None:
                    if self._closed and not self._queues:
                        return
                    self._changed.wait(self._patience())
                    found = self._next()
            self._compute(*found)

    def _next(self) -> tuple[Kind, Batch] | None:
        """The first batch in turn that is full or due. Called under the lock."""
        now = time.monotonic()
        for kind, queue in self._queues.items():
            if self._closed or len(queue) > 1 or queue[0].rows >= self._options.max_batch_size or queue[0].due <= now:
                del self._queues[kind]
                batch = queue.popleft()
                if queue:
                    self._queues[kind] = queue  # At the end: the others come first.
                    self._changed.notify()
                return kind, batch
        return None

    def _patience(self) -> float | None:
        """Seconds until the next batch is due; None when none waits."""
        dues = [queue[0].due for queue in self._queues.values()]
        return max(0.0, min(dues) - time.monotonic()) if dues else None

    def _compute(self, kind: Kind, batch: Batch) -> None:
        try:
            answers: Sequence[Outputs] = self._together(kind, batch)
        except Exception as error:
            if len(batch.tasks) == 1:
                batch.tasks[0].done.set_exception(error)
            else:  # One request must not fail for another's sake.
                for task in batch.tasks:
                    alone = Batch(batch.due)
                    alone.add(task)
                    self._compute(kind, alone)
            return
        for task, answer in zip(batch.tasks, answers, strict=True):
            task.done.set_result(answer)

    def _together(self, kind: Kind, batch: Batch) -> list[Outputs]:
        size = padded_size(batch.rows, self._options.allowed_batch_sizes)
        outputs = self._run(kind[0], merged(batch.tasks, size), kind[1])
        if self._on_batch is not None:
            self._on_batch(batch.rows, size)
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != size:
                raise Refusal(
                    f"Output {name!r} of signature {kind[0]!r} has shape {list(array.shape)} for {size} rows, so it "
                    "cannot be told whose is whose. Serve this model without batching.",
                    grpc.StatusCode.FAILED_PRECONDITION,
                )
        return shares(batch.tasks, outputs)


def _rejoined(parts: Sequence[Outputs]) -> Outputs:
    """The outputs of a request that was split."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
