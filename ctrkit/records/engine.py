"""What an engine does: a raw log to a feature index and records. One machine or many, the rows are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from ctrkit.errors import ConfigError
from ctrkit.indexing import FeatureIndex
from ctrkit.records.rejections import BadRows
from ctrkit.records.split import Split
from ctrkit.records.writer import WriterOptions
from ctrkit.schema import Schema

INDEX, RECORDS = "index", "records"  # Folders that an engine writes.


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a log is read and its records are written. Only `bad_rows` changes which rows there are."""

    writer: WriterOptions = field(default_factory=WriterOptions)
    threads: int | None = None  # None: as many as there are cores, at most 8.
    chunk_bytes: int = 16 << 20  # Of the log, that one thread holds at once.
    bad_rows: Literal["fail", "skip"] = "fail"  # What happens to rows that do not fit the schema.
    max_bad_share: float = 0.01  # Of all rows; more left out are an error.

    def __post_init__(self) -> None:
        for name, value in (("threads", self.threads), ("chunk_bytes", self.chunk_bytes)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(f"prepare.{name}: got {value!r}, expected an integer >= 1.")
        BadRows(action=self.bad_rows, max_share=self.max_bad_share)

    @property
    def rejection(self) -> BadRows:
        """`bad_rows` and `max_bad_share` as what reads the log takes them."""
        return BadRows(action=self.bad_rows, max_share=self.max_bad_share)


class Engine(Protocol):
    """Turns a log into an index and records; `EngineContract` in the tests is what every engine must pass."""

    resumes: ClassVar[bool]  # Gets its folder as a killed run of the same inputs left it; others get an empty one.

    def run(
        self,
        schema: Schema,
        files: Sequence[Path],
        folder: Path,
        *,
        split: Split,
        options: PrepareOptions,
        index: FeatureIndex | None,
        extend: FeatureIndex | None = None,
    ) -> FeatureIndex:
        """Write `folder/index` and `folder/records/<part>`; with `index` given, learn nothing and use that one.

        With `extend` given (and no `index`), keep its rows and boundaries, and append the values of the training part
        that pass their thresholds; see `ctrkit.indexing.extend`.

        Where bad rows are skipped, write what they were with `rejections.write_rejected`.

        Raises `LogError` for a log that does not fit its schema.
        """
