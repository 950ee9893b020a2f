"""Read large text tables frame by frame, and write the log that is made of them, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv

from ctrkit.datasets.log_file import log_writer
from ctrkit.datasets.sources import undecodable
from ctrkit.progress import progress

BLOCK = 16 << 20  # Bytes of text that become one frame.


def text_frames(
    path: Path,
    *,
    separator: str,
    columns: Sequence[str] | None = None,
    types: Mapping[str, pa.DataType] | None = None,
    quoted: bool = False,
    block: int = BLOCK,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a table, plain or .gz, in order; all columns are text, null where empty, but for `types`.

    `columns` are the names of a table without a header. Raises `LogError` for a table of another form.
    """
    try:
        names = list(columns) if columns is not None else _header(path, separator, quoted, block)
        reader = pyarrow.csv.open_csv(
            path,
            pyarrow.csv.ReadOptions(
                column_names=names, skip_rows=0 if columns is not None else 1, block_size=block, use_threads=False
            ),
            pyarrow.csv.ParseOptions(delimiter=separator, quote_char='"' if quoted else False),
            pyarrow.csv.ConvertOptions(
                column_types={**dict.fromkeys(names, pa.string()), **(types or {})},
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError, UnicodeDecodeError) as error:
        raise undecodable(path, error) from error


def _header(path: Path, separator: str, quoted: bool, block: int) -> list[str]:
    """Names of the first line; an empty one is called `row`, as of a column of row numbers."""
    opened = pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(block_size=block, use_threads=False),
        pyarrow.csv.ParseOptions(delimiter=separator, quote_char='"' if quoted else False),
    )
    return [name or "row" for name in opened.schema.names]


def write_log(path: Path, frames: Iterator[pl.DataFrame], *, label: str) -> None:
    """Write frames one after the other into a log of the format that its name tells, showing how far it is."""
    with log_writer(path, path) as append, progress(f"building {label}") as shown:
        for frame in frames:
            append(frame)
            shown.advance(len(frame))
