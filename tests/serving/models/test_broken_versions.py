"""A version that is broken, half-copied or not what it says is never served; the one before stays."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.models import ModelConfig, ModelsConfig, Patience, Specific, State, VersionLoader
from ctrkit.serving.refusal import Refusal
from ctrkit.serving.warmup import WARMUP_FILE
from tests.serving.models.folders import LOADER, Changes, Put, Serve, answer_predict

WITH_INDEX = VersionLoader(answers={"predict_log": answer_predict})


def no_variables(path: Path, other: FeatureIndex) -> None:
    shutil.rmtree(path / "variables")


def truncated_variables(path: Path, other: FeatureIndex) -> None:
    file = path / "variables" / "variables.data-00000-of-00001"
    os.truncate(file, file.stat().st_size - 100)


def garbage_graph(path: Path, other: FeatureIndex) -> None:
    (path / "saved_model.pb").write_bytes(b"\xff\xff not a graph")


def empty_graph(path: Path, other: FeatureIndex) -> None:
    (path / "saved_model.pb").write_bytes(b"")


def corrupt_warmup(path: Path, other: FeatureIndex) -> None:
    file = path / WARMUP_FILE
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def another_index(path: Path, other: FeatureIndex) -> None:
    shutil.rmtree(path / "assets" / "feature_index")
    other.save(path / "assets" / "feature_index")


def other_scores(path: Path, other: FeatureIndex) -> None:
    file = path / "assets.extra" / "ctrkit.json"
    manifest = json.loads(file.read_text())
    manifest["golden"]["scores"][0] += 0.01
    file.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (no_variables, ServingError, r"/2 has variables in its graph, but no variables/variables\.index: it was cop"),
        (truncated_variables, ServingError, r"Loading .*/2: "),
        (garbage_graph, ServingError, r"Loading .*/2: "),
        (empty_graph, ServingError, r"Loading .*/2: "),
        (corrupt_warmup, ServingError, r"tf_serving_warmup_requests: the record at byte \d+ has a wrong checksum"),
        (another_index, IndexMismatchError, r"trained with index \w{12}, but carries index \w{12}"),
        (other_scores, ServingError, r"golden row 0 scores .* but scored .* when it was exported"),
    ],
)
def test_the_old_version_stays_and_the_state_says_why(
    put: Put,
    base: Path,
    serve: Serve,
    other_index: FeatureIndex,
    changes: Changes,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path, FeatureIndex], None],
    error: type[ArtifactError] | type[ServingError],
    text: str,
) -> None:
    put(1, kind="export")
    models = serve(base, loader=WITH_INDEX, on_change=changes)
    damage(put(2, kind="export"), other_index)
    for _ in range(4):
        models.refresh()
    assert models.available("m") == (1,)
    broken = models.states("m", 2)[0]
    assert broken.state == State.END
    with pytest.raises(error, match=text):
        raise broken.error or AssertionError
    assert changes.of(2) == [State.START, State.LOADING, State.END]  # Tried once.
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "m version 2 is not served: " in caplog.text
    assert "Version 1 stays." in caplog.text
    with pytest.raises(Refusal, match=r"^Servable not found for request: Specific\(m, 2\)\. It could not be loaded: "):
        models._find("m", 2, None)
    put(3, kind="export")  # The next whole one is served.
    models.refresh()
    assert models.available("m") == (3,)


def test_a_broken_version_is_tried_again_when_its_files_change(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    path = put(2)
    whole = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    models.refresh()
    assert models.available("m") == (1,)
    (path / "saved_model.pb").write_bytes(whole)
    models.refresh()
    assert models.available("m") == (2,)
    assert models.states("m", 2)[0].error is None


def test_a_start_beside_a_broken_version_serves_the_one_before(
    put: Put, base: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    put(1)
    garbage_graph(put(2), None)  # type: ignore[arg-type]
    models = serve(base)
    assert models.available("m") == (1,)
    assert "m version 2 is not served" in caplog.text


def test_a_start_with_nothing_but_broken_versions_raises_the_newest_ones_error(
    put: Put, base: Path, serve: Serve
) -> None:
    for version in (1, 2):
        garbage_graph(put(version), None)  # type: ignore[arg-type]
    with pytest.raises(ServingError, match=r"Loading .*/2: "):
        serve(base)


def test_a_version_that_fails_without_reason_is_tried_a_few_times(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    tried = []

    def out_of_memory(path: Path, version: int, name: str):  # type: ignore[no-untyped-def]
        if version == 2:
            tried.append(version)
            raise MemoryError("no room")
        return LOADER(path, version, name)

    models = serve(base, loader=out_of_memory, patience=Patience(settle=0, retries=2, retry_every=0))
    put(2)
    for _ in range(6):
        models.refresh()
    assert len(tried) == 1 + 2
    assert str(models.states("m", 2)[0].error) == f"Loading {base / '2'}: MemoryError: no room"
    put(3)
    models.refresh()
    assert models.available("m") == (3,)


def test_retries_wait(put: Put, base: Path, serve: Serve, changes: Changes) -> None:
    put(1)
    models = serve(base, on_change=changes, patience=Patience(settle=0, retries=5, retry_every=60))
    garbage_graph(put(2), None)  # type: ignore[arg-type]
    for _ in range(3):
        models.refresh()
    assert changes.of(2).count(State.LOADING) == 1


def test_a_folder_that_is_still_growing_is_left_until_it_is_whole(
    put: Put, base: Path, serve: Serve, strings: Path, changes: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    put(1)
    models = serve(base, on_change=changes, patience=Patience(settle=0.3, retries=0))
    path = base / "2"
    (path / "variables").mkdir(parents=True)
    whole = (strings / "saved_model.pb").read_bytes()
    for part in range(4):  # The graph first, the worst order there is.
        with open(path / "saved_model.pb", "ab") as file:
            file.write(whole[len(whole) * part // 4 : len(whole) * (part + 1) // 4])
        models.refresh()
        time.sleep(0.05)
    for file in sorted((strings / "variables").iterdir()):
        shutil.copy2(file, path / "variables")  # Keeps the old time of modification, as rsync does.
        models.refresh()
    assert models.available("m") == (1,)
    assert changes.of(2) == [State.START]
    until = time.monotonic() + 20
    while models.available("m") != (2,):
        assert time.monotonic() < until
        time.sleep(0.05)
        models.refresh()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_clocks_that_differ_keep_no_version_waiting_for_ever(
    put: Put, base: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(1)
    models = serve(base, patience=Patience(settle=0.1))
    put(2)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)  # The file server is an hour ahead.
    models.refresh()
    assert models.available("m") == (1,)
    time.sleep(0.15)
    models.refresh()
    assert models.available("m") == (2,)


def test_an_operator_who_names_a_broken_version_gets_its_reason(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    path = put(2)
    whole = (path / "saved_model.pb").read_bytes()
    garbage_graph(path, None)  # type: ignore[arg-type]
    wish = ModelsConfig((ModelConfig("m", base, Specific((2,))),))
    with pytest.raises(Refusal, match=r"1 model\(s\) did not become available: \{m due to error: Loading .*/2: "):
        models.apply(wish)
    assert models.available("m") == (1,)
    (path / "saved_model.pb").write_bytes(whole)
    models.apply(wish)
    assert models.available("m") == (2,)


def test_one_index_for_all_versions_can_be_asked_for(
    put: Put, base: Path, serve: Serve, other_index: FeatureIndex
) -> None:
    def differ(path: Path, version: int, name: str):  # type: ignore[no-untyped-def]
        servable = WITH_INDEX(path, version, name)
        if version == 2:
            servable.index = other_index
        return servable

    put(1, kind="export")
    strict, free = serve(base, loader=differ, same_index=True), serve(base, loader=differ)
    put(2, kind="export")
    strict.refresh()
    free.refresh()
    assert free.available("m") == (2,)
    assert strict.available("m") == (1,)
    with pytest.raises(
        IndexMismatchError, match=r"index \w{12}, but version 1, which is served, with \w{12}.*same_ind"
    ):
        raise strict.states("m", 2)[0].error or AssertionError


@pytest.mark.parametrize("field", ["settle", "retries", "retry_every"])
def test_patience_is_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"`{field}` is -1, expected 0 or more"):
        Patience(**{field: -1})
