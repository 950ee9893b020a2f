"""Spark's standalone cluster of real processes: what is killed of it, or of the driver, changes no byte."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ctrkit.errors import ArtifactError
from ctrkit.records import Prepared, PrepareOptions, Split, WriterOptions, prepare
from tests.records.engine_contract import contents, impressions, schema_of, write_text
from tests.records.spark_processes import OPTIONS, SparkCluster, kill_one
from tests.records.spark_session import needs_java

pytestmark = [pytest.mark.slow, pytest.mark.turn(2), pytest.mark.timeout(1200)]
ROWS = 12_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text(tmp_path_factory.mktemp("log") / "log.csv", impressions(ROWS))


@pytest.fixture(scope="module")
def undisturbed(log: Path) -> Prepared:
    options = PrepareOptions(chunk_bytes=OPTIONS["chunk_bytes"], writer=WriterOptions(shard_rows=OPTIONS["shard_rows"]))
    return prepare(schema_of("csv"), log, log.parent / "local", split=Split(by="time"), options=options)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkCluster]:
    needs_java()
    with SparkCluster(tmp_path_factory.mktemp("spark") / "cluster") as found:
        yield found
        processes = found.processes()
    assert [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []


def test_a_killed_python_process_and_a_killed_executor_are_replaced_and_nothing_comes_twice(
    cluster: SparkCluster, log: Path, undisturbed: Prepared, tmp_path: Path
) -> None:
    job = cluster.job(log, tmp_path / "work")
    killed: list[str] = []
    for victim in ("python worker", "executor"):
        while job.poll() is None and victim not in killed:
            if _parsed(tmp_path / "work") and kill_one(cluster, job, victim):
                killed.append(victim)
            time.sleep(0.05)
    said = job.communicate()[1]
    assert killed == ["python worker", "executor"], said
    assert job.returncode == 0, said
    assert contents(tmp_path / "work") == contents(undisturbed.work_dir)


def test_a_killed_driver_leaves_nothing_that_is_taken_for_whole_and_is_run_again(
    cluster: SparkCluster, log: Path, undisturbed: Prepared, tmp_path: Path
) -> None:
    job = cluster.job(log, tmp_path / "work")
    while job.poll() is None:
        if _parsed(tmp_path / "work"):
            kill_one(cluster, job, "driver")
        time.sleep(0.05)
    assert job.wait() == -signal.SIGKILL, job.communicate()[1]
    with pytest.raises(ArtifactError, match=r"Run `ctrkit prepare` again"):
        Prepared.open(tmp_path / "work")
    again = cluster.job(log, tmp_path / "work")
    said = again.communicate()[1]
    assert again.returncode == 0, said
    assert contents(tmp_path / "work") == contents(undisturbed.work_dir)
    assert list((tmp_path / "work").glob(".prepare*")) == []


def _parsed(work_dir: Path) -> bool:
    """Whether executors put some of the log aside."""
    return any(work_dir.glob(".prepare*/spark-*/spill/*/*"))
