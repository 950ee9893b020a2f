"""What the engine asks of Spark: plain functions run on executors, and a few ways to spread data frames."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from ctrkit.errors import ConfigError, CtrkitError, EngineError
from ctrkit.progress import progress
from ctrkit.records.spark.failures import explained, raised

Frame: TypeAlias = Any
"""A Spark data frame."""

OUTCOME = "place long, failed boolean, outcome binary"
"""Columns of a frame of outcomes."""

_TASKS_A_CORE = 4  # So that cores end together although tasks do not take equally long.
_EVERY = 0.5  # Seconds between two looks at how far Spark is.
_BATCH_BYTES, _BATCH_ROWS = (f"spark.sql.execution.arrow.max{kind}PerBatch" for kind in ("Bytes", "Records"))
_OUTCOME_ARROW = pa.schema([("place", pa.int64()), ("failed", pa.bool_()), ("outcome", pa.binary())])

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Cluster:
    """Runs plain functions of ctrkit on executors; what fails there raises an error of ctrkit's here."""

    def __init__(self, session: Any) -> None:
        self.session = session
        try:
            self._context = session.sparkContext
        except Exception as error:
            raise ConfigError(
                "The Spark session that is active is one of Spark Connect, whose client does not reach executors. "
                "Stop it, or run ctrkit in another process."
            ) from error

    @property
    def tasks(self) -> int:
        """Into how many tasks small work is cut at most."""
        return max(1, _TASKS_A_CORE * int(self._context.defaultParallelism))

    @property
    def partitions(self) -> int:
        """Of a shuffle, as the session is configured."""
        return int(self.session.conf.get("spark.sql.shuffle.partitions"))

    # --- plain items in, plain results out --------------------------------------------------------------------------

    def each(
        self,
        label: str,
        items: Sequence[_Item],
        work: Callable[[_Item], _Result],
        *,
        tasks: int | None = None,
    ) -> list[_Result]:
        """`work(item)` of each item, on executors; items and results are pickled, so results are small.

        Raises the error of the first item that failed with one of ctrkit's.
        """
        if not items:
            return []
        frame = self.frame(items, _Outcomes(work), OUTCOME, tasks=tasks)
        return self.outcomes(label, frame)

    def outcomes(self, label: str, frame: Frame) -> list[Any]:
        """The results that a frame of outcomes holds, by place; see `outcome`."""
        found: dict[int, Any] = {}
        for place, failed, outcome in sorted(self.rows(label, frame), key=lambda row: row[0]):
            told = pickle.loads(bytes(outcome))
            if failed:
                raise told
            found[place] = told
        return list(found.values())

    def frame(
        self,
        items: Sequence[_Item],
        work: Callable[[int, _Item], Iterator[pa.RecordBatch]],
        columns: str,
        *,
        tasks: int | None = None,
    ) -> Frame:
        """The rows that `work(place, item)` yields of each item, as a data frame of `columns`."""
        items = list(items)
        tasks = max(1, min(len(items), self.tasks if tasks is None else tasks))

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            quiet()
            for batch in batches:
                for place in batch.column(0).to_pylist():
                    yield from work(place, items[place])

        with no_warnings():
            return self.session.range(0, len(items), 1, tasks).mapInArrow(run, columns)

    # --- data frames ------------------------------------------------------------------------------------------------

    def rows(self, label: str, frame: Frame) -> list[Any]:
        """All rows of a small frame."""
        with self._watched(label):
            return frame.collect()  # type: ignore[no-any-return]

    def mapped(
        self,
        frame: Frame,
        work: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]],
        columns: str,
    ) -> Frame:
        """The rows that `work` yields of each partition's batches."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            quiet()
            yield from work(batches)

        with no_warnings():
            return frame.mapInArrow(run, columns)

    def by_number(self, frame: Frame, column: str, partitions: int) -> Frame:
        """Rows with one value of an integer column in one partition, values side by side in turn."""
        if hasattr(frame, "repartitionById"):  # Spark 4.1.
            return frame.repartitionById(partitions, (frame[column] % partitions).cast("int"))
        return frame.repartition(partitions, column)

    def broadcast(self, value: Any) -> Any:
        """`value` on every executor; read it there as `.value`."""
        return self._context.broadcast(value)

    @contextlib.contextmanager
    def batches_of(self, size: int, rows: int) -> Iterator[None]:
        """Inside, executors hand Python at most `size` bytes at once; where Spark knows no such bound, `rows` rows."""
        conf = self.session.conf
        by_size = conf.get(_BATCH_BYTES, None) is not None
        name, value = (_BATCH_BYTES, size) if by_size else (_BATCH_ROWS, rows)
        before = conf.get(name)
        conf.set(name, str(value))
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # The session may be gone.
                conf.set(name, before)

    # --- running ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _watched(self, label: str) -> Iterator[None]:
        """Show how far the jobs of the block are; cancel them when it is left early."""
        group, done = f"ctrkit-{uuid.uuid4().hex[:8]}", threading.Event()
        with progress(label, unit="tasks") as shown, no_warnings():
            self._context.setJobGroup(group, f"ctrkit: {label}", interruptOnCancel=False)
            watcher = threading.Thread(target=self._watch, args=(group, shown, done), daemon=True)
            watcher.start()
            try:
                yield
            except BaseException as error:
                with contextlib.suppress(Exception):
                    self._context.cancelJobGroup(group)
                if isinstance(error, CtrkitError) or not isinstance(error, Exception):
                    raise
                raise told(error, label) from error
            finally:
                done.set()
                watcher.join()
                with contextlib.suppress(Exception):  # The session may be gone.
                    self._context.setLocalProperty("spark.jobGroup.id", None)

    def _watch(self, group: str, shown: Any, done: threading.Event) -> None:
        with contextlib.suppress(Exception):  # The session may end first.
            tracker = self._context.statusTracker()
            while not done.wait(_EVERY):
                jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
                stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
                # Stages that began: others wait, or are skipped as their output is there.
                known = [one for one in stages if one is not None and one.numActiveTasks + one.numCompletedTasks]
                shown.total = sum(stage.numTasks for stage in known)
                shown.advance(sum(stage.numCompletedTasks for stage in known) - shown.done)


def told(error: Exception, label: str) -> CtrkitError:
    """The error of ctrkit's that an executor raised, else one that says what Spark complained about."""
    found = raised(error)
    if found is not None:
        return found
    return EngineError(
        f"Spark failed while {label}: {explained(error)} What was half-written is not taken for whole: when the cause "
        "is mended, run the same command again."
    )


class _Outcomes:
    """Work whose results, or errors of ctrkit's, are rows."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        self._work = work

    def __call__(self, place: int, item: Any) -> Iterator[pa.RecordBatch]:
        try:
            yield outcome(place, self._work(item))
        except CtrkitError as error:
            yield outcome(place, error, failed=True)


def outcome(place: int, result: Any, *, failed: bool = False) -> pa.RecordBatch:
    """A row of a frame of outcomes."""
    return pa.record_batch([[place], [failed], [pickle.dumps(result)]], schema=_OUTCOME_ARROW)


def quiet() -> None:
    """Executors show no progress of their own."""
    os.environ.setdefault("CTRKIT_QUIET", "1")


@contextlib.contextmanager
def no_warnings() -> Iterator[None]:
    """Without what pyspark says of pandas 3, of which nothing is used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pyspark\..*")
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
        yield
