"""Where a plain text log may be cut between rows, found by many tasks that each look at some bytes of it.

A line end ends a row where the number of quotes before it, from the beginning of the file, is even; provided that all
quotes stand where they may. So tasks first count line ends and quotes of equal stretches of bytes. Then, where there
are quotes, the text between two cuts is looked through; a file that has a quote out of place is not cut at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from ctrkit.records.chunk import Position
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.text_rows import well_quoted_ends
from ctrkit.schema import Schema

_AT_ONCE = 1 << 22  # Bytes.
_END, _QUOTE = ord("\n"), ord('"')


@dataclass(frozen=True)
class _Stretch:
    """Some bytes of a file."""

    path: Path
    start: int
    stop: int


@dataclass(frozen=True)
class _Counts:
    """What a stretch holds."""

    lines: int
    quotes: int
    # By whether an even (0) or an odd (1) number of quotes is before the stretch: bytes to the first end of a row in it
    # and line ends up to there; None where no row ends.
    first: tuple[tuple[int, int] | None, tuple[int, int] | None]


def text_cuts(cluster: Cluster, schema: Schema, files: Mapping[int, Path], size: int) -> dict[int, list[Position]]:
    """By the number of a file, where its shares but the first begin, about `size` bytes apart. None is compressed."""
    stretches = {number: _stretches(path, size) for number, path in files.items()}
    quoted = schema.format.kind == "csv"
    each = [one for several in stretches.values() for one in several]
    counted = iter(cluster.each("scanning", each, partial(_count, quoted)))
    cuts: dict[int, list[Position]] = {}
    doubtful: list[tuple[int, _Stretch]] = []
    for number, path in files.items():
        counts = [next(counted) for _ in stretches[number]]
        cuts[number] = _cuts(stretches[number], counts)
        if any(one.quotes for one in counts):
            ends = [0, *(cut.offset for cut in cuts[number]), path.stat().st_size]
            doubtful += [(number, _Stretch(path, start, stop)) for start, stop in pairwise(ends)]
    assert schema.format.separator is not None
    sound = cluster.each("scanning", [one for _, one in doubtful], partial(_is_sound, schema.format.separator))
    for (number, _), well in zip(doubtful, sound, strict=True):
        if not well:
            cuts[number] = []
    return cuts


def _stretches(path: Path, size: int) -> list[_Stretch]:
    end = path.stat().st_size
    return [_Stretch(path, start, min(start + size, end)) for start in range(0, end, size)]


def _count(quoted: bool, stretch: _Stretch) -> _Counts:
    lines = quotes = 0
    first: list[tuple[int, int] | None] = [None, None]
    with open(stretch.path, "rb") as file:
        file.seek(stretch.start)
        for at in range(stretch.start, stretch.stop, _AT_ONCE):
            raw = np.frombuffer(file.read(min(_AT_ONCE, stretch.stop - at)), dtype=np.uint8)
            ends = np.flatnonzero(raw == _END)
            here = np.flatnonzero(raw == _QUOTE) if quoted else np.empty(0, dtype=np.int64)
            odd = (quotes + np.searchsorted(here, ends)) % 2
            for parity in range(2):
                of_rows = np.flatnonzero(odd == parity)
                if first[parity] is None and len(of_rows):
                    k = int(of_rows[0])
                    first[parity] = (at - stretch.start + int(ends[k]) + 1, lines + k + 1)
            lines += len(ends)
            quotes += len(here)
    return _Counts(lines, quotes, (first[0], first[1]))


def _cuts(stretches: Sequence[_Stretch], counts: Sequence[_Counts]) -> list[Position]:
    """After the first end of a row in each stretch but the first."""
    cuts: list[Position] = []
    lines, quotes = counts[0].lines, counts[0].quotes
    for stretch, here in zip(stretches[1:], counts[1:], strict=True):
        found = here.first[quotes % 2]
        if found is not None and stretch.start + found[0] < stretches[-1].stop:
            cuts.append(Position(offset=stretch.start + found[0], number=1 + lines + found[1]))
        lines, quotes = lines + here.lines, quotes + here.quotes
    return cuts


def _is_sound(separator: str, stretch: _Stretch) -> bool:
    """Whether all quotes of whole rows are where they may be, and no row is suspiciously long."""
    with open(stretch.path, "rb") as file:
        file.seek(stretch.start)
        data = file.read(stretch.stop - stretch.start)
    return well_quoted_ends(data, separator) is not None
