"""Runs in a real PostgreSQL: written directly, and through an `mlflow server` that stands before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ctrkit.tracking import start_run
from tests.tracking.mlflow_server import Server, free_port, get
from tests.tracking.postgres import postgres

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as uri:
        yield uri


def rows(uri: str, question: str) -> list[tuple[object, ...]]:
    """What the database itself answers."""
    import psycopg

    with psycopg.connect(uri) as connection:
        return list(connection.execute(question.encode()).fetchall())


def test_a_run_lies_in_the_database_with_its_files_beside(database: str, tmp_path: Path) -> None:
    with start_run("direct", "run", uri=database, work_root=tmp_path, run_dir=tmp_path) as run:
        run.log_params({"seed": 0, "model": {"dim": 8}})
        for step in range(1200):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
        run.log_text("why", "notes/why.txt")
    assert run.run_id is not None
    assert run.run_id.isalnum()
    assert rows(database, f"SELECT count(*), min(value) FROM metrics WHERE run_uuid = '{run.run_id}'") == [
        (1200, pytest.approx(1 / 1200))
    ]
    assert ("model.dim", "8") in rows(database, f"SELECT key, value FROM params WHERE run_uuid = '{run.run_id}'")
    assert rows(database, f"SELECT status FROM runs WHERE run_uuid = '{run.run_id}'") == [("FINISHED",)]
    (kept,) = (tmp_path / "mlartifacts").rglob("why.txt")
    assert kept.read_text() == "why"
    assert not (tmp_path / "tracking").exists()
    assert "unused" not in (tmp_path / "tracking.json").read_text()  # The password.


def test_a_server_before_the_database_takes_runs(database: str, tmp_path: Path) -> None:
    server = Server(tmp_path, free_port(), store=database)
    try:
        server.start()
        with start_run("through a server", "run", uri=server.uri) as run:
            run.log_metrics({"auc": 0.75}, 3)
            run.log_text("why", "notes/why.txt")
        assert rows(database, f"SELECT key, value, step FROM metrics WHERE run_uuid = '{run.run_id}'") == [
            ("auc", 0.75, 3)
        ]
        assert get(f"{server.uri}/get-artifact?path=notes%2Fwhy.txt&run_uuid={run.run_id}") == b"why"
    finally:
        server.stop()
