"""What is told of models that are served: refusals, states, listeners."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ctrkit.serving.refusal import Refusal
from tests.serving.models.folders import Put, Serve, refused, version_used


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
