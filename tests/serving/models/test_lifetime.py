"""From start to close: what is told meanwhile, and that nothing is left running."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from ctrkit.errors import ServingError
from ctrkit.serving.models import ModelConfig, ModelsConfig, ServedModels, State
from tests.serving.models.folders import AT_ONCE, LOADER, Put, Serve, refused, version_used


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


def test_after_the_end_nothing_is_done_any_more(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    models.close()
    models.close()
    assert refused(models)[0] == grpc.StatusCode.NOT_FOUND
    with pytest.raises(ServingError, match=r"nothing after `close\(\)`"):
        models.refresh()
