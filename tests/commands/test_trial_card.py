"""The card of a trial is worth no search: where it cannot be written, that is said and the search goes on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from ctrkit.commands import trial_training
from ctrkit.commands.trial_training import write_trial_card
from ctrkit.errors import ArtifactError


@pytest.mark.parametrize("error", [OSError("No space left on device"), ArtifactError("run.json is damaged")])
def test_a_card_that_cannot_be_written_is_told(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    (tmp_path / "config.yaml").write_text("name: mine\n", encoding="utf-8")
    monkeypatch.setattr(trial_training, "update_card", refuse)
    tracker: Any = None
    with caplog.at_level(logging.WARNING):
        write_trial_card(tmp_path, tracker)
    assert caplog.messages == [f"Trial {tmp_path.name} has no card: {error}"]


def test_a_trial_that_never_began_has_none(tmp_path: Path) -> None:
    tracker: Any = None
    write_trial_card(tmp_path, tracker)
    assert list(tmp_path.iterdir()) == []
