"""Show a running cluster: one live picture on a terminal, a line now and then in a log file, nothing when asked so."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from rich.console import Console
from rich.live import Live

from ctrkit.training.cluster.launch.pace import Pace
from ctrkit.training.cluster.launch.render import line, render
from ctrkit.training.cluster.launch.row import RoleRow
from ctrkit.training.cluster.launch.supervision import Screen

LINE_EVERY = 10.0  # Seconds between two lines where the output is no terminal.

__all__ = ["LiveScreen", "PlainScreen", "Screen", "open_screen", "render"]


@contextlib.contextmanager
def open_screen(stream: IO[str] | None = None) -> Iterator[Screen | None]:
    """Yield what fits `stream` (by default standard error): live on a terminal, else plain.

    None, which shows nothing, when the environment variable `CTRKIT_QUIET` is set.
    """
    stream = sys.stderr if stream is None else stream
    if os.environ.get("CTRKIT_QUIET"):
        yield None
    elif stream.isatty():
        # No thread of its own: the launcher draws once a second. Cut, a picture higher than the terminal shows its top.
        with Live(console=Console(file=stream), auto_refresh=False, vertical_overflow="crop") as live:
            yield LiveScreen(live)
    else:
        yield PlainScreen(stream)


class LiveScreen:
    """One picture that is drawn over; what happens scrolls by above it."""

    def __init__(self, live: Live) -> None:
        self._live, self._pace = live, Pace()

    def show(self, status: Mapping[str, Any] | None, rows: Sequence[RoleRow], elapsed: float) -> None:
        self._live.update(render(_with_pace(status, self._pace, elapsed), rows, elapsed), refresh=True)

    def tell(self, text: str) -> None:
        self._live.console.print(text, markup=False, highlight=False)


class PlainScreen:
    """Lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._pace = stream, Pace()
        self._next = 0.0

    def show(self, status: Mapping[str, Any] | None, rows: Sequence[RoleRow], elapsed: float) -> None:
        status = _with_pace(status, self._pace, elapsed)
        if elapsed >= self._next:
            self._next = elapsed + LINE_EVERY
            self.tell(line(status, rows, elapsed))

    def tell(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def _with_pace(status: Mapping[str, Any] | None, pace: Pace, elapsed: float) -> Mapping[str, Any] | None:
    """The status with the cluster's steps/s, which only who looks at it again and again can tell."""
    if status is None:
        return None
    inner = status.get("cluster")
    step = {**status, **(inner if isinstance(inner, Mapping) else {})}.get("step")
    if isinstance(step, int):
        pace.see(step, elapsed)
    return {"steps_per_second": pace.per_second, **status}
