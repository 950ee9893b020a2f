"""A real `mlflow server` on loopback: pages, artifacts, models, and what happens when it dies and comes back."""

from __future__ import annotations

import logging
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ctrkit.checksum import directory_checksum
from ctrkit.errors import RegistryError, TrackingError
from ctrkit.tracking import TrackingOptions, experiment_page, locate, start_run, ui_command
from ctrkit.tracking.aliases import point_champion, roll_back
from ctrkit.tracking.fetched import fetch
from ctrkit.tracking.reference import ModelReference
from ctrkit.tracking.registry import Registry
from ctrkit.tracking.registry_lock import LOCK_TAG, changing
from tests.tracking.exports import register
from tests.tracking.mlflow_server import Server, free_port, get

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), free_port())
    try:
        started.start()
        yield started
    finally:
        started.stop()


def routes(uri: str, run_id: str, experiment_id: str) -> None:
    """The page's address works: the server has its one page, and the page's program knows both routes."""
    page = get(f"{uri}/").decode()
    assert "<title>MLflow" in page
    import mlflow

    programs = Path(mlflow.__file__).parent.joinpath("server", "js", "build", "static", "js").glob("*.js")
    known = "".join(path.read_text(encoding="utf-8", errors="replace") for path in programs)
    for route in ("/experiments/:experimentId/runs/:runUuid", "/experiments/:experimentId/runs"):
        assert route in known or route.lstrip("/") in known
    assert "workflowType" in known
    assert run_id in get(f"{uri}/ajax-api/2.0/mlflow/runs/get?run_id={run_id}").decode()
    assert experiment_id in get(f"{uri}/ajax-api/2.0/mlflow/experiments/get?experiment_id={experiment_id}").decode()


def test_a_run_on_a_server_has_a_page_metrics_and_files(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    with start_run("on a server", "run", run_dir=tmp_path) as run:
        run.log_params({"seed": 0})
        for step in range(1500):
            run.log_metrics({"loss": 1 / (step + 1)}, step)
        run.log_text("why", "notes/why.txt")
    from mlflow import MlflowClient

    assert run.run_id is not None
    client = MlflowClient(tracking_uri=server.uri)
    found = client.get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert len(client.get_metric_history(run.run_id, "loss")) == 1500
    assert run.ui_command == ""
    assert run.url == f"{server.uri}/#/experiments/{found.info.experiment_id}/runs/{run.run_id}"
    assert experiment_page(run.uri, found.info.experiment_id).startswith(run.url.rsplit("/", 1)[0])
    routes(server.uri, run.run_id, found.info.experiment_id)
    assert get(f"{server.uri}/get-artifact?path=notes%2Fwhy.txt&run_uuid={run.run_id}") == b"why"
    assert not (tmp_path / "tracking").exists()


def test_a_server_that_dies_and_comes_back_has_the_whole_run(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = TrackingOptions(flush_seconds=0.1, retry_seconds=0.5)
    with start_run("dies", "run", uri=server.uri, run_dir=tmp_path, options=options) as run:
        run.log_metrics({"loss": 1.0}, 1)
        time.sleep(1)
        server.stop(signal.SIGKILL)
        began = time.monotonic()
        run.log_metrics({"loss": 0.5}, 2)
        run.log_text("said while it was down", "down.txt")
        assert time.monotonic() - began < 1.0
        deadline = time.monotonic() + 60
        while not (tmp_path / "tracking" / "events.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        server.start()
        run.log_metrics({"loss": 0.25}, 3)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    assert [metric.value for metric in client.get_metric_history(run.run_id, "loss")] == [1.0, 0.5, 0.25]
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert get(f"{server.uri}/get-artifact?path=down.txt&run_uuid={run.run_id}") == b"said while it was down"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([one for one in said if "Training goes on" in one]) == 1
    assert not (tmp_path / "tracking").exists()


def test_the_printed_command_shows_the_default_store(work_root: Path, tmp_path: Path) -> None:
    with start_run("shown", "run", work_root=work_root) as run:
        run.log_text("local file", "a.txt")
    assert run.run_id is not None
    port = free_port()
    shown = Server(tmp_path, port, command=["bash", "-c", ui_command(run.uri, port=port)])
    try:
        shown.start()
        assert run.url is not None
        experiment_id = run.url.split("/")[-3]
        routes(shown.uri, run.run_id, experiment_id)
        assert get(f"{shown.uri}/get-artifact?path=a.txt&run_uuid={run.run_id}") == b"local file"
    finally:
        shown.stop()


def test_an_exported_model_is_stored_on_the_server(server: Server, export: tuple[Path, Any]) -> None:
    path, index = export
    with start_run("model", "run", uri=server.uri) as run:
        uri = run.log_exported_model(path, fingerprint=index.fingerprint)
    assert uri is not None
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=server.uri)
    model_id = uri.removeprefix("models:/")
    assert client.get_logged_model(model_id).status == "READY"
    stored = {artifact.path for artifact in client.list_logged_model_artifacts(model_id)}
    assert {"MLmodel", "exported_model.py", "artifacts"} <= stored


@pytest.fixture
def export(tmp_path: Path, tiny_index: Any) -> tuple[Path, Any]:
    """As much of an export as is needed to store one: nothing here loads it."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\x08\x01")
    tiny_index.save(tmp_path / "1" / "assets" / "feature_index")
    return tmp_path / "1", tiny_index


def test_a_registered_model_is_checked_moved_and_fetched_through_the_server(
    server: Server, tmp_path: Path, tiny_index: Any
) -> None:
    registry = Registry(locate(server.uri))
    versions = [register(registry, "remote", tmp_path, tiny_index, f"remote-{n}") for n in (1, 2)]
    for expected, version in [(None, versions[0]), (1, versions[1])]:
        registry.check(version)  # By way of a download: its files are the server's.
        point_champion(registry, version, expected=expected)
    found = registry.resolve(ModelReference.parse("models:/remote@champion"))
    assert directory_checksum(fetch(registry, found, tmp_path / "copies")) == found.digest
    assert (tmp_path / "copies" / "2" / "saved_model.pb").read_text() == "remote-2"
    assert roll_back(registry, "remote").version == 1
    assert registry.model("remote").aliases == {"champion": 1}
    assert LOCK_TAG not in registry.model("remote").tags


def test_what_the_server_lost_or_spoiled_is_not_fetched(server: Server, tmp_path: Path, tiny_index: Any) -> None:
    registry = Registry(locate(server.uri))
    version = register(registry, "lost", tmp_path, tiny_index, "lost-1")
    stored = (server.root / "artifacts").rglob("saved_model.pb")
    (file,) = [path for path in stored if path.read_text() == "lost-1"]
    file.write_text("other")
    with pytest.raises(RegistryError, match="lost version 1 are not those that were registered"):
        fetch(registry, version, tmp_path / "copies")
    shutil.rmtree(file.parent)
    with pytest.raises(RegistryError, match=r"lost version 1 cannot be read .* Were they deleted\?"):
        fetch(registry, version, tmp_path / "copies")
    assert not list((tmp_path / "copies").iterdir())


def test_one_machine_at_a_time_changes_aliases_and_a_dead_one_does_not_block(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    registries = [Registry(locate(server.uri)) for _ in range(2)]
    registries[0].create("locked")
    inside: list[int] = []

    def change(number: int) -> None:
        for _ in range(2):
            with changing(registries[number], "locked"):
                inside.append(number)
                time.sleep(0.2)
                assert inside[-1] == number
                assert inside.pop() == number
                assert not inside

    with ThreadPoolExecutor() as pool:
        list(pool.map(change, range(2)))  # Raises what a thread raised.
    registries[0].tag_model("locked", {LOCK_TAG: "0123 elsewhere 42"})  # It was killed.
    monkeypatch.setattr("ctrkit.tracking.registry_lock.WAIT", 0.3)
    with pytest.raises(RegistryError, match=r"being changed by 42 on elsewhere, for more than 0\.3 s\. Type the same"):
        change(0)
    monkeypatch.setattr("ctrkit.tracking.registry_lock.WAIT", 60.0)
    monkeypatch.setattr("ctrkit.tracking.registry_lock.STALE_AFTER", 0.5)
    change(0)


def test_a_registry_that_is_down_says_so_and_is_used_again_when_it_is_back(server: Server) -> None:
    registry = Registry(locate(server.uri))
    registry.create("back")
    server.stop()
    try:
        with pytest.raises(TrackingError, match=r"cannot be used|does not answer"):
            registry.model("back")
        with pytest.raises(TrackingError, match=f"{server.uri} does not answer"):
            registry.model("back")
    finally:
        server.start()
    assert registry.model("back").name == "back"
