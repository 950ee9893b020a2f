"""Another configuration is applied to models that are served: versions, models and folders change, or nothing does."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ctrkit.serving.models import ModelConfig, ModelsConfig, Specific, State
from ctrkit.serving.refusal import Refusal
from tests.serving.models.folders import Put, Serve, configured, echo, refused, version_used


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
