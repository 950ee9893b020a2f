"""How many bad rows a log may have, and what is said where it has more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import ConfigError, LogError
from ctrkit.records import PrepareOptions, Split, WriterOptions, prepare
from tests.records.damaged_log import HEADER, LINES, options, plain, run, schema, table


def test_a_log_that_is_mostly_bad_says_that_the_schema_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(LINES[:3]) + plain(1, clicked=b"5") * 30)
    with pytest.raises(LogError) as caught:
        run(tmp_path / "log.csv")
    message = str(caught.value)
    assert "30 of 33 rows do not fit the schema (90.91%, data.max_bad_share is 50.00%)" in message
    assert "30 no label in 'clicked'" in message
    assert "Most of the log is bad, so the schema or its format is wrong" in message


def test_more_bad_rows_than_allowed_are_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(LINES) + plain(1, clicked=b"5"))
    skipped = PrepareOptions(bad_rows="skip", threads=1)
    with pytest.raises(LogError, match=r"1 of 61 rows .*\(1.64%, data.max_bad_share is 1.00%\).*max_bad_share=0.02"):
        prepare(schema(), tmp_path / "log.csv", tmp_path / "work", options=skipped)
    done = run(tmp_path / "log.csv", name="other")
    assert sum(done.rows.values()) == 60


def test_hopeless_logs_are_not_read_to_their_end(tmp_path: Path) -> None:
    lines = plain(1, clicked=b"5") * 3000 + plain(1) * 100_000
    (tmp_path / "log.csv").write_bytes(HEADER + lines)
    with pytest.raises(LogError, match=r"[0-9,]+ of [0-9,]+ rows read so far do not fit"):
        prepare(
            schema(), tmp_path / "log.csv", tmp_path / "work",
            options=PrepareOptions(bad_rows="skip", threads=1, chunk_bytes=30_000),
        )  # fmt: skip


def test_the_choice_is_compared_when_it_is_prepared_again(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(LINES))
    first = run(tmp_path / "log.csv", skip=False)
    changed = run(tmp_path / "log.csv", skip=True)
    assert first.description["inputs"] != changed.description["inputs"]
    assert first.rejected is None
    assert changed.rejected is not None
    assert changed.rejected.rows == 0
    assert table(first) == table(changed)


def test_what_was_allowed_once_is_refused_when_less_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(HEADER + b"".join(LINES) + plain(1, clicked=b"5") * 20)
    run(tmp_path / "log.csv")
    strict = options(True, writer=WriterOptions(shuffle=False))
    strict = PrepareOptions(**{**vars(strict), "max_bad_share": 0.1})
    with pytest.raises(LogError, match="20 of 80 rows do not fit"):
        prepare(
            schema(), tmp_path / "log.csv", tmp_path / "work", split=Split(by="order", validation=0, test=0),
            options=strict,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "told"),
    [({"bad_rows": "skp"}, "unknown word 'skp'. Did you mean 'skip'"), ({"max_bad_share": 3}, "got 3")],
)
def test_options_that_mean_nothing_are_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        PrepareOptions(**given)
