"""What `prepare` shows of its steps."""

from __future__ import annotations

from pathlib import Path

import pytest

import ctrkit.progress
from ctrkit.records import PrepareOptions, WriterOptions, prepare
from tests.records.engine_contract import impressions, schema_of, write_text


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_step_is_shown_to_its_end_and_the_shuffle_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shuffle: bool
) -> None:
    monkeypatch.delenv("CTRKIT_QUIET", raising=False)
    monkeypatch.setattr(ctrkit.progress, "SILENT_BEFORE", 0.0)
    log = write_text(tmp_path / "log.csv", impressions(200))
    prepare(schema_of("csv"), log, tmp_path / "work", options=PrepareOptions(writer=WriterOptions(shuffle=shuffle)))
    shown = capsys.readouterr().err
    assert "writing: 100% 200 rows" in shown
    assert ("shuffling: 100% 200 rows" in shown) is shuffle
    assert ("shuffling" in shown) is shuffle
