"""A Spark session and what the engine asks of it; the one file that names pyspark."""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

from ctrkit.errors import ConfigError, CtrkitError, EngineError
from ctrkit.progress import progress
from ctrkit.records.spark.failures import explained, raised
from ctrkit.records.spark.options import SparkOptions

Frame: TypeAlias = Any
"""A Spark data frame."""

_LOCAL = "local[*,4]"  # All cores; a task whose Python process dies is tried again, as on a cluster.
_DEFAULTS = {
    "spark.app.name": "ctrkit prepare",
    "spark.ui.enabled": "false",
}
_CONFIGURED = ("SPARK_CONF_DIR", "SPARK_HOME", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT")  # By the user.
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_QUIET_LOG = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
_LOOPBACK = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
_TASKS_A_CORE = 4  # So that cores end together although tasks do not take equally long.
_EVERY = 0.5  # Seconds between two looks at how far Spark is.
_OUTCOME = "place long, failed boolean, outcome binary"
_OUTCOME_ARROW = pa.schema([("place", pa.int64()), ("failed", pa.bool_()), ("outcome", pa.binary())])

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextlib.contextmanager
def connected(options: SparkOptions, *, hive: bool = False) -> Iterator[Cluster]:
    """The session that runs already, or one of our own that ends with the block.

    `hive`: a session of our own sees the Hive metastore. Raises `ConfigError` when pyspark or Java is not there.
    """
    try:
        import pyspark
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            f"data.engine=spark needs pyspark, which cannot be imported ({error}). Type: pip install 'ctrkit[spark]'"
        ) from error
    if int(pyspark.__version__.split(".")[0]) < 4:
        raise ConfigError(
            f"data.engine=spark needs pyspark 4, got {pyspark.__version__}. Type: pip install 'ctrkit[spark]'"
        )
    if SparkContext._active_spark_context is not None or SparkSession.getActiveSession() is not None:
        yield Cluster(SparkSession.builder.getOrCreate())
        return
    with _no_warnings():
        started = _start(options, hive=hive)
    try:
        yield Cluster(started)
    finally:
        with contextlib.suppress(Exception):  # Its Java process may be gone.
            started.stop()


def _start(options: SparkOptions, *, hive: bool) -> Any:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        _check_java()
    given = {str(name): _spelled(value) for name, value in (options.conf or {}).items()}
    if options.master is not None:
        given["spark.master"] = options.master
    quietly = {} if any(name in os.environ for name in _CONFIGURED) else {_JAVA_OPTIONS: _QUIET_LOG}
    with _workers_python():
        try:
            # First the Java process alone: it knows spark-defaults.conf and what spark-submit was told.
            SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll([*{**quietly, **given}.items()]))
            conf = SparkConf(_jvm=SparkContext._jvm)
            if "spark.master" not in given and conf.get("spark.master", "local[*]") == "local[*]":
                conf.setMaster(_LOCAL)
            conf.setAll(list(given.items()))
            master = conf.get("spark.master", "")
            local, here = master.startswith("local"), any(name in master for name in ("://127.", "://localhost"))
            for name, value in {**_DEFAULTS, **(_LOOPBACK if local or here else {})}.items():
                conf.setIfMissing(name, value)
            if "spark.ui.showConsoleProgress" not in given:
                conf.set("spark.ui.showConsoleProgress", "false")  # It has a bar of its own.
            if conf.get("spark.app.name") == "pyspark-shell":
                conf.setAppName(_DEFAULTS["spark.app.name"])
            builder = SparkSession.builder.config(conf=conf)
            session = (builder.enableHiveSupport() if hive else builder).getOrCreate()
        except Exception as error:
            raise EngineError(f"Spark cannot be started: {explained(error)}") from error
    if "spark.log.level" not in dict(conf.getAll()):
        session.sparkContext.setLogLevel("ERROR")
    if local and "spark.sql.shuffle.partitions" not in dict(conf.getAll()):
        session.conf.set("spark.sql.shuffle.partitions", str(2 * session.sparkContext.defaultParallelism))
    return session


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java") if home is None else shutil.which(str(Path(home) / "bin" / "java"))
    if java is None:
        where = "on PATH" if home is None else f"below JAVA_HOME ({home})"
        raise ConfigError(
            f"data.engine=spark needs Java 17, and there is no `java` {where}. Type: apt-get install "
            "openjdk-17-jre-headless (conda: conda install openjdk=17; macOS: brew install openjdk@17)"
        )


@contextlib.contextmanager
def _workers_python() -> Iterator[None]:
    """Spark's Python processes are of this environment, unless the user named another."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]


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
        frame = self.frame(items, _Outcomes(work), _OUTCOME, tasks=tasks)
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

        with _no_warnings():
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

        with _no_warnings():
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
    def batches_of(self, rows: int) -> Iterator[None]:
        """Inside, executors hand Python so many rows at once: rows may be large."""
        name = "spark.sql.execution.arrow.maxRecordsPerBatch"
        before = self.session.conf.get(name)
        self.session.conf.set(name, str(rows))
        try:
            yield
        finally:
            with contextlib.suppress(Exception):
                self.session.conf.set(name, before)

    # --- running ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _watched(self, label: str) -> Iterator[None]:
        """Show how far the jobs of the block are; cancel them when it is left early."""
        group, done = f"ctrkit-{uuid.uuid4().hex[:8]}", threading.Event()
        with progress(label, unit="tasks") as shown, _no_warnings():
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

    def _watch(self, group: str, shown: Any, done: threading.Event) -> None:
        with contextlib.suppress(Exception):  # The session may end first.
            tracker = self._context.statusTracker()
            while not done.wait(_EVERY):
                jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
                stages = [tracker.getStageInfo(stage) for job in jobs if job for stage in job.stageIds]
                known = [stage for stage in stages if stage is not None]
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
def _no_warnings() -> Iterator[None]:
    """Without what pyspark says of pandas 3, of which nothing is used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pyspark\..*")
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
        yield
