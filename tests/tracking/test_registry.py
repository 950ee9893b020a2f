"""A real SQLite registry: what is registered, looked up, checked and fetched."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ctrkit.checksum import directory_checksum
from ctrkit.errors import ConfigError, RegistryError, TrackingError
from ctrkit.indexing import FeatureIndex
from ctrkit.tracking import locate
from ctrkit.tracking.fetched import fetch, fetched_folder, tidy
from ctrkit.tracking.follow import Follower
from ctrkit.tracking.reference import ModelReference
from ctrkit.tracking.registry import RegisteredVersion, Registry
from tests.tracking.exports import log_export, register, registry_in, write_export


@pytest.fixture(scope="module")
def registry(work_root: Path) -> Registry:
    return registry_in(work_root)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def ads(registry: Registry, folder: Path, tiny_index: FeatureIndex) -> list[RegisteredVersion]:
    """Two versions of the model `ads`, whose champion is the first."""
    versions = [register(registry, "ads", folder, tiny_index, content) for content in ("ads-1", "ads-2")]
    registry.point("ads", "champion", 1)
    return versions


def test_references_have_two_forms() -> None:
    assert ModelReference.parse("models:/ads@champion") == ModelReference(name="ads", alias="champion")
    assert ModelReference.parse("models:/ads/12") == ModelReference(name="ads", version=12)
    for text in ("models:/ads", "models:/ads/latest", "models:/@champion", "models:/ads@", "models:/a/b@c", "ads@c"):
        with pytest.raises(ConfigError, match=r"Cannot read the model '.*': expected models:/NAME@ALIAS"):
            ModelReference.parse(text)
    for text in ("models:/ads@champion", "models:/ads/12"):
        assert str(ModelReference.parse(text)) == text


def test_a_version_says_what_it_was_made_of(
    registry: Registry, ads: list[RegisteredVersion], folder: Path, tiny_index: FeatureIndex, client: Any
) -> None:
    found = registry.resolve(ModelReference.parse("models:/ads@champion"))
    assert (found.name, found.version, found.status) == ("ads", 1, "READY")
    assert found.digest == directory_checksum(folder / "ads-1" / "1")
    assert found.tags["ctrkit.index_fingerprint"] == tiny_index.fingerprint
    assert found.tags["ctrkit.run"] == "run of ads-1"
    assert client.get_model_version("ads", "1").run_id == found.run_id  # MLflow's own view of it.
    assert registry.resolve(ModelReference.parse("models:/ads/2")) == ads[1]


def test_a_logged_model_is_registered_once(registry: Registry, ads: list[RegisteredVersion], client: Any) -> None:
    again = registry.register("ads", ads[0].tags["ctrkit.model_id"], {"ctrkit.run": "another"})
    assert again == ads[0]
    assert len(client.search_model_versions("name='ads'")) == 2


def test_the_model_that_a_run_logged_is_found_by_its_checksum(
    registry: Registry, folder: Path, tiny_index: FeatureIndex
) -> None:
    path = write_export(folder / "logged", tiny_index, "logged")
    run_id, model_id = log_export(registry.location, path, tiny_index)
    assert registry.logged_model(run_id, directory_checksum(path)) == model_id
    assert registry.logged_model(run_id, "0" * 64) is None
    assert registry.logged_model("0" * 32, directory_checksum(path)) is None


def test_a_model_half_logged_is_not_found(
    registry: Registry, folder: Path, tiny_index: FeatureIndex, client: Any
) -> None:
    from mlflow.entities import LoggedModelStatus

    path = write_export(folder / "half", tiny_index, "half")
    run_id, model_id = log_export(registry.location, path, tiny_index)
    client.finalize_logged_model(model_id, LoggedModelStatus.FAILED)
    assert registry.logged_model(run_id, directory_checksum(path)) is None


def test_what_is_not_registered_is_told_with_the_nearest_name(registry: Registry, ads: list[RegisteredVersion]) -> None:
    with pytest.raises(RegistryError, match=r"No model 'adz' is registered in sqlite:.*Did you mean 'ads'\?"):
        registry.model("adz")
    with pytest.raises(
        RegistryError, match=r"has no alias 'champoin' .*Did you mean 'champion'\? Aliases: champion -> 1"
    ):
        registry.resolve(ModelReference.parse("models:/ads@champoin"))
    with pytest.raises(RegistryError, match=r"Model ads has no version 9 in .*: it was deleted, or never made"):
        registry.resolve(ModelReference.parse("models:/ads/9"))


def test_a_model_without_an_alias_says_how_to_get_one(registry: Registry) -> None:
    registry.create("bare")
    registry.create("bare")  # Nothing happens.
    with pytest.raises(RegistryError, match=r"It has no alias yet\. Register one: ctrkit promote --to champion"):
        registry.resolve(ModelReference.parse("models:/bare@champion"))


def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"no tracking store at sqlite:.*tracking\.uri=URI"):
        registry_in(tmp_path).model("ads")
    assert not list(tmp_path.iterdir())


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"Tracking store http://127\.0\.0\.1:9 does not answer"):
        Registry(locate("http://127.0.0.1:9", work_root=tmp_path)).model("ads")


def test_a_version_of_other_tools_is_refused(registry: Registry, ads: list[RegisteredVersion], client: Any) -> None:
    client.create_registered_model("foreign")
    client.create_model_version("foreign", source="s3://somewhere/model")
    with pytest.raises(RegistryError, match=r"foreign version 1 has no tag .*not registered by `ctrkit promote`"):
        registry.check(registry.version("foreign", 1))


def test_damage_to_the_registered_files_is_found(registry: Registry, folder: Path, tiny_index: FeatureIndex) -> None:
    version = register(registry, "damaged", folder, tiny_index, "damaged")
    registry.check(version)
    assert registry.location.artifact_root is not None
    stored = registry.location.artifact_root.rglob("saved_model.pb")
    (file,) = [path for path in stored if path.read_text() == "damaged"]
    file.write_text("damagee")
    with pytest.raises(RegistryError, match=r"damaged version 1 are not those that were registered \(SHA-256 "):
        registry.check(version)
    with pytest.raises(RegistryError, match=r"are not those that were registered"):
        fetch(registry, version, folder / "copies")
    assert not (folder / "copies" / "1").exists()
    shutil.rmtree(file.parent)
    for use in (registry.check, lambda one: fetch(registry, one, folder / "copies")):
        with pytest.raises(
            RegistryError, match=r"files of model damaged version 1 cannot be read .*Were they deleted\?"
        ):
            use(version)


def test_a_copy_is_whole_and_made_once(
    registry: Registry, ads: list[RegisteredVersion], folder: Path, tmp_path: Path
) -> None:
    place = fetched_folder(tmp_path, registry, "ads")
    path = fetch(registry, ads[0], place)
    assert path == place / "1"
    assert directory_checksum(path) == directory_checksum(folder / "ads-1" / "1")
    made = (path / "saved_model.pb").stat().st_ino
    assert fetch(registry, ads[0], place) == path
    assert (path / "saved_model.pb").stat().st_ino == made
    (path / "saved_model.pb").write_text("somebody's")
    fetch(registry, ads[0], place)
    assert (path / "saved_model.pb").read_text() == "ads-1"
    assert [one.name for one in place.iterdir()] == ["1"]  # Nothing half is left.


def test_copies_of_two_stores_do_not_meet(registry: Registry, tmp_path: Path) -> None:
    other = Registry(locate("http://127.0.0.1:9"))
    assert fetched_folder(tmp_path, registry, "ads") != fetched_folder(tmp_path, other, "ads")


def test_the_index_alone_can_be_had(
    registry: Registry, ads: list[RegisteredVersion], tiny_index: FeatureIndex, tmp_path: Path
) -> None:
    assert FeatureIndex.load(registry.download_index(ads[0], tmp_path)).fingerprint == tiny_index.fingerprint


def test_old_copies_go_but_for_the_last_three(tmp_path: Path) -> None:
    for version in range(1, 7):
        (tmp_path / str(version)).mkdir()
        os.utime(tmp_path / str(version), times=(time.time() - 3 * 86400 + version,) * 2)
    os.utime(tmp_path / "1")
    tidy(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "5", "6"]
    for name in ("5", "6"):
        os.utime(tmp_path / name)
    (tmp_path / "7").mkdir()
    tidy(tmp_path)
    assert len(list(tmp_path.iterdir())) == 4  # All of today.


def test_a_follower_tells_each_move_once_and_outlives_trouble(
    registry: Registry,
    ads: list[RegisteredVersion],
    folder: Path,
    tiny_index: FeatureIndex,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for content in ("followed-1", "followed-2"):
        register(registry, "followed", folder, tiny_index, content)
    registry.point("followed", "champion", 1)
    told: list[tuple[int, str]] = []
    said = threading.Event()

    def on_version(version: RegisteredVersion, path: Path) -> None:
        told.append((version.version, (path / "saved_model.pb").read_text()))
        said.set()

    reference = ModelReference.parse("models:/followed@champion")
    follower = Follower(Registry(registry.location), reference, tmp_path, on_version, every=0.05)
    follower.first()
    stop = threading.Event()
    thread = threading.Thread(target=follower.run, args=[stop])
    thread.start()
    try:
        for version in (2, None, 1):
            said.clear()
            registry.point("followed", "champion", version)
            if version is None:
                wait_for(lambda: "no alias 'champion'" in caplog.text)
            else:
                assert said.wait(20)
    finally:
        stop.set()
        thread.join()
    assert told == [(1, "followed-1"), (2, "followed-2"), (1, "followed-1")]
    warnings = [record.getMessage() for record in caplog.records]
    assert len([one for one in warnings if "Version 2 stays. Trying again every 0.05 s." in one]) == 1
    assert "models:/followed@champion can be followed again." in warnings


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)
