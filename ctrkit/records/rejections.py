"""Rows that do not fit the schema: an error that names the first, or a count of those that are left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ctrkit.atomic import write_json
from ctrkit.errors import ConfigError, LogError, did_you_mean

BAD_ROWS = ("fail", "skip")
REJECTED_FILE = "rejected.json"  # Beside the parts' folders.
SAMPLES = 5  # Rows shown of each reason and column.
LONGEST_SHOWN = 120  # Letters of a row.
SKIP = "Or leave such rows out and count them: data.bad_rows=skip."
_SURE = 1_000  # Rejected rows after which a log that is far from good enough is not read to its end.


@dataclass(frozen=True, kw_only=True)
class BadRows:
    """What happens to rows that do not fit the schema."""

    action: Literal["fail", "skip"] = "fail"
    max_share: float = 0.01  # Of all rows; more of them left out are an error.

    def __post_init__(self) -> None:
        if self.action not in BAD_ROWS:
            raise ConfigError(f"data.bad_rows: unknown word {self.action!r}.{did_you_mean(self.action, BAD_ROWS)}")
        share = self.max_share
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ConfigError(f"data.max_bad_share: got {share!r}, expected a share of the rows in [0, 1], e.g. 0.01.")

    @property
    def skip(self) -> bool:
        """Whether they are left out."""
        return self.action == "skip"

    def check(self, rejected: Rejections, kept: int, *, read: float = 1.0) -> None:
        """Raise `LogError` when too many rows were left out. `read` is the share of the log that was read so far.

        Before the end only a log is given up of which more was rejected than twice the share of the whole.
        """
        whole = (rejected.rows + kept) / max(read, 1e-9)
        nothing_left = read == 1.0 and not kept and rejected.rows > 0
        if rejected.rows <= self.max_share * whole * (1 if read == 1.0 else 2) and not nothing_left:
            return
        if read == 1.0 or rejected.rows >= _SURE:
            share = rejected.rows / (rejected.rows + kept)
            mostly = " Most of the log is bad, so the schema or its format is wrong." if share > 0.5 else ""
            raise LogError(
                f"{rejected.rows:,} of {rejected.rows + kept:,} rows {'' if read == 1.0 else 'read so far '}do not fit "
                f"the schema ({share:.2%}, data.max_bad_share is {self.max_share:.2%}): {rejected.summary()}. "
                f"For example {rejected.example()}.{mostly} Mend the schema or the log"
                + (f", or type data.max_bad_share={min(1.0, round(share * 1.2 + 0.005, 2))}." if not mostly else ".")
            )


class BadRowsError(LogError):
    """Some rows of a chunk do not fit the schema: `rows` are their places, `reason` what they are counted by."""

    def __init__(self, message: str, *, rows: np.ndarray, reason: str, column: str = "") -> None:
        super().__init__(message)
        self.rows, self.reason, self.column = rows, reason, column


@dataclass(kw_only=True)
class Rejections:
    """Rows that were left out, by reason and column, with the first few of each.

    Those of the pieces of a log are summed with `add` in the order of the log, on one machine or by whoever collects
    what many found: the sum is that of the whole log, however it was cut. Counts and samples are a few KB at most.
    """

    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[dict[str, str]]] = field(default_factory=dict)

    def reject(self, reason: str, column: str, shown: Sequence[tuple[str, str]], count: int | None = None) -> None:
        """Count rows; `shown` are the place and the text of each of the first `SAMPLES`, or of all."""
        key = (reason, column)
        self.counts[key] = self.counts.get(key, 0) + (len(shown) if count is None else count)
        told = [{"place": place, "text": shortened(text)} for place, text in shown]
        self.samples[key] = (self.samples.get(key, []) + told)[:SAMPLES]

    def add(self, later: Rejections) -> None:
        """Append those of rows that come after."""
        for key, count in later.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
            self.samples[key] = (self.samples.get(key, []) + later.samples[key])[:SAMPLES]

    @property
    def rows(self) -> int:
        """How many."""
        return sum(self.counts.values())

    def summary(self) -> str:
        """Counts in words, the largest first."""
        ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count:,} {_named(*key)}" for key, count in ordered)

    def example(self) -> str:
        """One of the rows in words."""
        (reason, column), shown = next(iter(self.samples.items()))
        return f"{shown[0]['place']}, {_named(reason, column)}: {shown[0]['text']!r}"

    def to_dict(self, kept: int | None = None) -> dict[str, Any]:
        """As JSON has it; with the rows that were kept, the share that was not."""
        found = [
            {"reason": reason, "column": column or None, "rows": count, "sample": self.samples[reason, column]}
            for (reason, column), count in sorted(self.counts.items())
        ]
        share = {} if kept is None else {"share": self.rows / max(1, self.rows + kept)}
        return {"rows": self.rows, **share, "by": found}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Rejections:
        """What `to_dict` gave."""
        keys = {(one["reason"], one["column"] or ""): one for one in told["by"]}
        return cls(
            counts={key: one["rows"] for key, one in keys.items()},
            samples={key: one["sample"] for key, one in keys.items()},
        )


def write_rejected(folder: Path, rejected: Rejections, kept: int) -> None:
    """Write what was left out beside the parts' folders; every engine does where bad rows are skipped."""
    write_json(folder / REJECTED_FILE, rejected.to_dict(kept))


def shortened(text: str, length: int = LONGEST_SHOWN) -> str:
    """Text of at most `length` letters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _named(reason: str, column: str) -> str:
    return f"{reason} in {column!r}" if column else reason
