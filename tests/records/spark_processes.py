"""A Spark standalone cluster of real processes on loopback, a job on it, and what may be killed of it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

# Prepares a log on the cluster; the words are the master, the log and the work_dir.
JOB = """
import sys
from ctrkit.records import PrepareOptions, SparkEngine, SparkOptions, Split, WriterOptions, prepare
from tests.records.engine_contract import schema_of

master, log, work_dir = sys.argv[1:]
QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # Compiled quickly, not well.
conf = {
    "spark.executor.memory": "500m", "spark.executor.cores": 1, "spark.driver.memory": "500m",
    "spark.sql.shuffle.partitions": 3, "spark.task.maxFailures": 8,
    "spark.driver.extraJavaOptions": QUICK, "spark.executor.extraJavaOptions": QUICK,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN", "spark.sql.codegen.wholeStage": False,
    "spark.speculation": True, "spark.speculation.interval": "50ms",  # Tasks often run twice.
    "spark.speculation.multiplier": 1.1, "spark.speculation.quantile": 0.1,
}
options = PrepareOptions(chunk_bytes=200_000, writer=WriterOptions(shard_rows=4096))
prepare(
    schema_of("csv"), log, work_dir, split=Split(by="time"), options=options,
    engine=SparkEngine(SparkOptions(master=master, conf=conf, broadcast_values=20)),
)
"""
OPTIONS = {"chunk_bytes": 200_000, "shard_rows": 4096}
VICTIMS = ("driver", "executor", "python worker")
_STARTS = 120.0  # Seconds for Java on a busy machine.


class SparkCluster:
    """A master and two workers of one core each; `processes` of the block's end with it."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        self._folder, self._home = folder, Path(pyspark.__file__).parent
        self._started: list[subprocess.Popen[bytes]] = []
        self._port = _free_port()
        self.master = f"spark://127.0.0.1:{self._port}"

    def __enter__(self) -> SparkCluster:
        folder = self._folder
        folder.mkdir(parents=True)
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop)
            where = ("--host", "127.0.0.1", "--webui-port", "0")
            self._start("master", "org.apache.spark.deploy.master.Master", *where, "--port", str(self._port))
            _wait(folder / "master.log", "I have been elected leader")
            for number in range(2):
                words = ("--cores", "1", "--memory", "600m", "--work-dir", str(folder / f"work-{number}"), self.master)
                self._start(f"worker-{number}", "org.apache.spark.deploy.worker.Worker", *where, *words)
            for number in range(2):
                _wait(folder / f"worker-{number}.log", "Successfully registered with master")
            self._kept = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def _start(self, name: str, main: str, *words: str) -> None:
        environment = {**os.environ, "SPARK_HOME": str(self._home), "SPARK_DAEMON_MEMORY": "200m"}
        environment |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_DIRS": str(self._folder / "local")}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        with open(self._folder / f"{name}.log", "wb") as log:
            command = [str(self._home / "bin" / "spark-class"), main, *words]
            self._started.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
            )

    def _stop(self) -> None:
        below = self.processes()
        for one in self._started:
            one.terminate()
        for one in self._started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(15)
        for process in below:  # Executors end with their worker; a stubborn one is not left to run.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for one in self._started:
            one.kill()
            one.wait()

    def job(self, log: Path, work_dir: Path) -> subprocess.Popen[str]:
        """Prepare `log` on this cluster in a process of its own."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CTRKIT_QUIET": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", JOB, self.master, str(log), str(work_dir)],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def executors(self) -> list[psutil.Process]:
        """The Java processes that run tasks."""
        return [each for each in self.processes() if "CoarseGrainedExecutorBackend" in _command(each)]

    def python_workers(self) -> list[psutil.Process]:
        """The Python processes that tasks hand their rows to."""
        found = [each for each in self.processes() if "pyspark.daemon" in _command(each)]
        parents = {each.pid for each in found}
        return [each for each in found if _parent(each) in parents]  # Not the daemon that they are forked from.

    def processes(self) -> list[psutil.Process]:
        """The master, the workers and all that they started."""
        return [each for one in self._started for each in (psutil.Process(one.pid), *_below(one.pid))]


def kill_one(cluster: SparkCluster, job: subprocess.Popen[str], victim: str) -> bool:
    """`kill -9` of a victim that is there; False when there is none, such as before an executor started."""
    if victim == "driver":
        os.kill(job.pid, signal.SIGKILL)
        return True
    for process in cluster.executors() if victim == "executor" else cluster.python_workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            return True
    return False


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int | None:
    try:
        return process.ppid()
    except psutil.Error:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(log: Path, words: str) -> None:
    deadline = time.monotonic() + _STARTS
    while words not in log.read_text(errors="replace"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{log} does not say {words!r}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.2)
