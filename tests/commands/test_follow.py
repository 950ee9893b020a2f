"""The process that follows an alias: it tells what it fetched, and is started again when it dies."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from ctrkit.commands.follow import Fetched, Following
from ctrkit.errors import RegistryError
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from ctrkit.tracking import locate
from ctrkit.tracking.reference import ModelReference
from ctrkit.tracking.registry import Registry
from tests.tracking.exports import register

pytestmark = [pytest.mark.slow, pytest.mark.turn(0)]


def test_a_follower_that_dies_is_started_again_and_a_version_that_stays_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ctrkit.commands.follow.RESTART_AFTER", 0.1)
    schema = Schema.from_dict({"label": "click", "features": {"ad": {"kind": "categorical", "side": "item"}}})
    index = FeatureIndex(schema, {"ad": Vocabulary.of(["a"], [1])}, {})
    registry = Registry(locate(f"sqlite:///{tmp_path}/mlflow.db"), may_create=True)
    for content in ("one", "two"):
        register(registry, "ads", tmp_path / "exports", index, content)
    registry.point("ads", "champion", 1)
    copies = tmp_path / "copies"

    following = Following(registry.location.uri, ModelReference.parse("models:/ads@champion"), copies, every=0.1)
    try:
        versions = iter(following)
        assert next(versions) == Fetched(version=1, path=str(copies / "1"), run="run of one", run_dir="")
        (process,) = [one for one in psutil.Process().children() if "ctrkit.commands.follow" in " ".join(one.cmdline())]
        process.kill()
        process.wait()
        registry.point("ads", "champion", 2)
        assert next(versions).version == 2
        assert (copies / "2" / "saved_model.pb").read_text() == "two"
    finally:
        following.close()
    assert list(versions) == []
    assert "The process that follows models:/ads@champion is started again" in caplog.text

    fixed = Following(registry.location.uri, ModelReference.parse("models:/ads/1"), copies, every=0.1)
    assert [one.version for one in fixed] == [1]
    fixed.close()


def test_what_cannot_be_looked_up_is_told_in_the_words_of_the_registry(tmp_path: Path) -> None:
    reference = ModelReference.parse("models:/ads@champion")
    following = Following(f"sqlite:///{tmp_path}/none.db", reference, tmp_path, every=1)
    with pytest.raises(RegistryError, match=r"There is no tracking store at sqlite:.*none\.db"):
        next(iter(following))
    following.close()
