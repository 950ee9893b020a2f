"""Versions come and go under requests: policies, labels, reloads, polling."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from ctrkit.errors import ServingError
from ctrkit.serving.models import All, Latest, ModelConfig, ModelsConfig, ServedModels, Specific, State
from ctrkit.serving.refusal import Refusal
from tests.serving.models.folders import AT_ONCE, LOADER, Changes, echo

Put = Callable[..., Path]
Serve = Callable[..., ServedModels]


def configured(base: Path, policy: Latest | All | Specific | None = None, **labels: int) -> ModelsConfig:
    return ModelsConfig((ModelConfig("m", base, Latest() if policy is None else policy, labels),))


def version_used(models: ServedModels, **which: object) -> int:
    with models.use("m", **which) as servable:  # type: ignore[arg-type]
        assert echo(servable) == "A"
        return servable.version


def refused(models: ServedModels, name: str = "m", **which: object) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(Refusal) as caught, models.use(name, **which):  # type: ignore[arg-type]
        pass
    return caught.value.code, str(caught.value)


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


def test_a_reload_goes_back_to_an_older_version(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    put(2)
    models = serve(base)
    models.apply(configured(base, Specific((1,))))
    assert version_used(models) == 1
    put(3)
    models.refresh()
    assert models.available("m") == (1,)
    models.apply(configured(base))
    assert models.available("m") == (3,)


def test_labels_follow_a_reload(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    put(2)
    models = serve(configured(base, All(), stable=1, canary=2))
    assert version_used(models, label="stable") == 1
    assert version_used(models, label="canary") == 2
    models.apply(configured(base, All(), stable=2))
    assert version_used(models, label="stable") == 2
    code, text = refused(models, label="canary")
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert text == "Unrecognized servable version label: canary. Labels of 'm': 'stable' (version 2)."


def test_a_label_may_point_to_what_the_same_reload_loads(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    put(2)
    models.apply(configured(base, Specific((1, 2)), stable=1, canary=2))
    assert version_used(models, label="canary") == 2


def test_a_label_for_a_version_that_is_not_loaded_refuses_the_whole_reload(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    put(2)
    models = serve(configured(base, Latest(), stable=2))
    before = models.config
    with pytest.raises(
        Refusal, match=r"assign label to version 2 of model m, which is not currently available"
    ) as caught:
        models.apply(configured(base, Specific((1,)), stable=2))
    assert caught.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert models.config is before
    assert models.available("m") == (2,)
    assert version_used(models, label="stable") == 2
    models.close()
    assert {one.state for one in models.states("m")} == {State.END}  # What was loaded for nothing is gone too.


def test_labels_for_unavailable_versions_can_be_allowed(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(configured(base, Latest(), canary=2), allow_unavailable_labels=True)
    code, text = refused(models, label="canary")
    assert code == grpc.StatusCode.NOT_FOUND
    assert text == "Servable not found for request: Specific(m, 2). Versions of 'm' served here: 1."


def test_a_label_whose_version_is_unloaded_is_told(
    put: Put, base: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    put(1)
    models = serve(configured(base, Latest(), stable=1))
    put(2)
    models.refresh()
    assert "Label 'stable' of m points to version 1, which is unloaded now" in caplog.text


def test_a_reload_adds_and_removes_models(put: Put, tmp_path: Path, serve: Serve) -> None:
    for model in ("one", "two"):
        put(1, model=model)
    one, two = (ModelConfig(name, tmp_path / name) for name in ("one", "two"))
    models = serve(ModelsConfig((one,)))
    with models.use("one") as servable:
        models.apply(ModelsConfig((two,)))
        assert models.names == ("two",)
        code, text = refused(models, "one")
        assert code == grpc.StatusCode.NOT_FOUND
        assert text == "Servable not found for request: Latest(one). Models served here: 'two'."
        assert echo(servable) == "A"
    models.apply(ModelsConfig(()))
    assert refused(models, "two")[1] == "Servable not found for request: Latest(two). No model is served here."


def test_a_reload_with_a_model_that_does_not_load_leaves_the_old(put: Put, tmp_path: Path, serve: Serve) -> None:
    put(1, model="one")
    put(2, model="one")
    one, two = (ModelConfig(name, tmp_path / name) for name in ("one", "two"))
    models = serve(ModelsConfig((one,)))
    with pytest.raises(
        Refusal, match=r"1 model\(s\) did not become available: \{two due to error: .*two does not ex"
    ) as caught:
        models.apply(ModelsConfig((ModelConfig("one", tmp_path / "one", Specific((1,))), two)))
    assert caught.value.code == grpc.StatusCode.UNKNOWN
    assert models.names == ("one",)
    assert models.available("one") == (2,)


def test_the_same_version_of_another_folder_replaces_the_old_one(put: Put, tmp_path: Path, serve: Serve) -> None:
    put(1)
    other = put(1, model="other")
    models = serve(tmp_path / "base")
    with models.use("m") as before:
        models.apply(ModelsConfig.of_one("m", tmp_path / "other"))
        with models.use("m") as after:
            assert after.runtime.path == str(other)
            assert echo(before) == echo(after)
    models.close()
    assert [(one.version, one.state) for one in models.states("m")] == [(1, State.END)]


def test_requests_are_refused_in_tensorflow_servings_words(put: Put, base: Path, serve: Serve) -> None:
    put(5)
    models = serve(base)
    code = grpc.StatusCode
    assert refused(models, "") == (code.INVALID_ARGUMENT, "ModelSpec has no name specified. Models served here: 'm'.")
    assert refused(models, "x") == (
        code.NOT_FOUND,
        "Servable not found for request: Latest(x). Models served here: 'm'.",
    )
    assert refused(models, version=4) == (
        code.NOT_FOUND,
        "Servable not found for request: Specific(m, 4). Versions of 'm' served here: 5.",
    )
    assert refused(models, label="stable") == (
        code.INVALID_ARGUMENT,
        "Unrecognized servable version label: stable. Model 'm' has no labels; name a version's number.",
    )
    with pytest.raises(Refusal, match=r"^Could not find any versions of model x\. Models served here: 'm'"):
        models.states("x")
    with pytest.raises(Refusal, match=r"^Could not find version 4 of model m\. Versions of 'm' served here: 5"):
        models.states("m", 4)
    assert [one.version for one in models.states("m", 5)] == [5]


def test_a_model_that_loads_for_the_first_time_is_unavailable_for_now(put: Put, base: Path) -> None:
    put(1)
    begun, go = threading.Event(), threading.Event()

    def slow(path: Path, version: int, name: str):  # type: ignore[no-untyped-def]
        begun.set()
        assert go.wait(20)
        return LOADER(path, version, name)

    models = ServedModels(ModelsConfig.of_one("m", base), slow, poll_every=None, patience=AT_ONCE)
    starting = threading.Thread(target=models.start)
    starting.start()
    assert begun.wait(20)
    assert refused(models) == (grpc.StatusCode.UNAVAILABLE, "Model 'm' is still loading; try again.")
    assert [one.state for one in models.states("m")] == [State.LOADING]
    go.set()
    starting.join()
    assert version_used(models) == 1
    models.close()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda base: None, r"base does not exist .expected e\.g\. .*/1/saved_model\.pb.*`ctrkit export`"),
        (lambda base: base.mkdir(), r"base holds no version .expected"),
        (
            lambda base: (base / "3").mkdir(parents=True),
            r"base holds versions \[3\], of which the policy asks for none",
        ),
    ],
)
def test_a_start_without_a_version_leaves_nothing_running(
    base: Path, serve: Serve, make: Callable[[Path], None], text: str
) -> None:
    make(base)
    before = threading.active_count()
    with pytest.raises(ServingError, match=text):
        serve(base)
    assert threading.active_count() == before


def test_a_listener_that_fails_stops_nothing(
    put: Put, base: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(name: str, state: object) -> None:
        raise ValueError("a full disk")

    put(1)
    models = serve(base, on_change=fail)
    assert version_used(models) == 1
    assert "a full disk" in caplog.text


def test_states_forget_what_ended_long_ago(put: Put, base: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    from ctrkit.serving.models import states

    monkeypatch.setattr(states, "KEPT_ENDED", 2)
    put(1)
    models = serve(base)
    for version in range(2, 7):
        put(version)
        models.refresh()
    for thread in list(models._retiring):
        thread.join()
    assert [one.version for one in models.states("m")] == [6, 5, 4]


def test_after_the_end_nothing_is_done_any_more(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    models.close()
    models.close()
    assert refused(models)[0] == grpc.StatusCode.NOT_FOUND
    with pytest.raises(ServingError, match=r"nothing after `close\(\)`"):
        models.refresh()


def test_logs_name_the_version_and_its_seconds(
    put: Put, base: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    path = put(1)
    with caplog.at_level(logging.INFO):
        serve(base)
    assert "m version 1 is available after 0." in caplog.text
    assert str(path) in caplog.text


def test_closing_while_models_are_loaded_loads_no_further_one(put: Put, tmp_path: Path) -> None:
    for name in ("one", "two"):
        put(1, model=name)
    loaded, errors = [], []

    def load(path: Path, version: int, name: str):  # type: ignore[no-untyped-def]
        loaded.append(name)
        closing.start()
        while not models._worker.is_ending:
            time.sleep(0.005)
        return LOADER(path, version, name)

    models = ServedModels(ModelsConfig(tuple(ModelConfig(n, tmp_path / n) for n in ("one", "two"))), load)
    closing = threading.Thread(target=models.close)
    try:
        models.start()
    except ServingError as error:
        errors.append(str(error))
    closing.join()
    assert loaded == ["one"]
    assert errors == ["The models were closed while they were loaded."]
    assert models.available("one") == ()
