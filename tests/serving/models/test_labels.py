"""Labels name versions: they move with a reload, and say when they cannot."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ctrkit.serving.models import All, Latest, Specific, State
from ctrkit.serving.refusal import Refusal
from tests.serving.models.folders import Put, Serve, configured, refused, version_used


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
