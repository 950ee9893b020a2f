"""Start a Spark session, or find the one that runs; the one file that names pyspark."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ctrkit.errors import ConfigError, EngineError
from ctrkit.records.spark.cluster import Cluster, no_warnings
from ctrkit.records.spark.failures import explained
from ctrkit.records.spark.options import SparkOptions

_LOCAL = "local[*,4]"  # All cores; a task whose Python process dies is tried again, as on a cluster.
_DEFAULTS = {
    "spark.app.name": "ctrkit prepare",
    "spark.ui.enabled": "false",
}
_CONFIGURED = ("SPARK_CONF_DIR", "SPARK_HOME", "PYSPARK_SUBMIT_ARGS", "PYSPARK_GATEWAY_PORT")  # By the user.
_JAVA_OPTIONS = "spark.driver.extraJavaOptions"
_QUIET_LOG = f"-Dlog4j2.configurationFile={(Path(__file__).parent / 'log4j2.properties').as_uri()}"
_LOOPBACK = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}


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
    with no_warnings():
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
    with _workers_python(given.get("spark.pyspark.python", sys.executable)):
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
def _workers_python(python: str) -> Iterator[None]:
    """Spark's Python processes run `python`, unless the environment names another."""
    if "PYSPARK_PYTHON" in os.environ:
        yield
        return
    os.environ["PYSPARK_PYTHON"] = python
    try:
        yield
    finally:
        del os.environ["PYSPARK_PYTHON"]
