"""Versions come and go in a folder that is looked at again: policies choose, the last one stays."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from ctrkit.errors import ServingError
from ctrkit.serving.models import All, Latest, Specific, State
from tests.serving.models.folders import Changes, Put, Serve, configured, echo, version_used


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(Latest(), (10,)), (Latest(2), (10, 9)), (All(), (10, 9, 1)), (Specific((1, 9, 44)), (9, 1))],
)
def test_policies_choose_among_numbered_folders(
    put: Put, base: Path, serve: Serve, policy: Latest | All | Specific, expected: tuple[int, ...]
) -> None:
    for version in ("1", "9", "10", "latest", "-11", "12.tmp", ".13.incomplete-1-x"):
        put(version)
    (base / "14").mkdir()  # Somebody is copying: no graph yet.
    (base / "notes.txt").write_text("")
    models = serve(configured(base, policy))
    assert models.available("m") == expected
    assert version_used(models) == expected[0]
    assert [version_used(models, version=version) for version in expected] == list(expected)


def test_a_new_version_takes_over_and_the_old_one_ends(put: Put, base: Path, serve: Serve, changes: Changes) -> None:
    put(1)
    models = serve(base, on_change=changes)
    put(2)
    models.refresh()
    assert version_used(models) == 2
    models.close()
    S = State
    assert changes.of(1) == [S.START, S.LOADING, S.AVAILABLE, S.UNLOADING, S.END]
    assert changes.of(2) == [S.START, S.LOADING, S.AVAILABLE, S.UNLOADING, S.END]
    order = [(state.version, state.state) for _, state in changes]
    assert order.index((2, S.AVAILABLE)) < order.index((1, S.UNLOADING))
    assert all(state.seconds is not None for _, state in changes if state.state == S.AVAILABLE)


def test_the_old_version_is_freed_only_when_its_last_request_has_left(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    with models.use("m") as old:
        put(2)
        models.refresh()  # Does not wait for the request.
        assert version_used(models) == 2
        assert [(one.version, one.state) for one in models.states("m")] == [(2, State.AVAILABLE), (1, State.UNLOADING)]
        assert echo(old) == "A"
        put(3)
        models.refresh()  # A slow request keeps no version waiting.
        assert version_used(models) == 3
    models.close()
    assert [(one.version, one.state) for one in models.states("m")] == [(v, State.END) for v in (3, 2, 1)]
    assert models.states("m")[0].seconds is not None
    with pytest.raises(ServingError, match="was closed"):
        echo(old)


def test_polling_finds_a_version_without_being_told(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base, poll_every=0.02)
    put(2)
    until = time.monotonic() + 20
    while models.available("m") != (2,):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_deleting_the_latest_version_brings_the_one_before_back(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    put(2)
    models = serve(base)
    shutil.rmtree(base / "2")
    models.refresh()
    assert models.available("m") == (1,)


def test_the_last_version_outlives_its_folder_and_says_so_once(
    put: Put, base: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    put(3)
    models = serve(base)
    shutil.rmtree(base / "3")
    for _ in range(3):
        models.refresh()
    assert version_used(models) == 3
    assert caplog.text.count("m stays at version 3, which is no longer there") == 1
    shutil.rmtree(base)  # Or the whole file system is away.
    for _ in range(3):
        models.refresh()
    assert version_used(models) == 3
    assert caplog.text.count(f"Could not find base path {base} for servable m: No such file or directory.") == 1
    put(4)
    models.refresh()
    assert models.available("m") == (4,)


def test_a_version_that_is_written_again_is_not_loaded_again_and_that_is_told_once(
    put: Put, base: Path, serve: Serve, changes: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    put(3)
    models = serve(base, on_change=changes)
    models.refresh()
    assert not caplog.records
    another = put("again")  # Another file of the same size and time: nothing but its inode differs.
    shutil.rmtree(base / "3")
    another.rename(base / "3")
    for _ in range(3):
        models.refresh()
    assert changes.of(3).count(State.LOADING) == 1
    assert caplog.text.count("m version 3 were replaced after it was loaded; requests still get the old ones.") == 1
    assert f"Write changes to a new version, e.g. {base / '4'}." in caplog.text


def test_all_follows_the_folder(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    put(2)
    models = serve(configured(base, All()))
    shutil.rmtree(base / "1")
    put(3)
    models.refresh()
    assert models.available("m") == (3, 2)
