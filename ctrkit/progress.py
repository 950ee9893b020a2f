"""Show how far a long step has come: a live bar on a terminal, a line now and then in a log file."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator

LINE_EVERY = 5.0  # Seconds between two lines where the output is no terminal.
SILENT_BEFORE = 1.0  # Seconds: a step that ends sooner shows nothing.


class Progress:
    """A counter with a total that may be unknown; call `advance` from one thread."""

    def __init__(self, label: str, total: int | None, unit: str, done: int = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._before = done
        self.note = ""
        self._live = sys.stderr.isatty() and not os.environ.get("CTRKIT_QUIET")
        self._quiet = bool(os.environ.get("CTRKIT_QUIET"))
        self._start = self._shown = time.monotonic()
        self._printed = False
        self._last = ""

    def advance(self, count: int, note: str | None = None) -> None:
        """Add `count` units; `note` is free text that replaces the one shown before."""
        self.done += count
        if note is not None:
            self.note = note
        now = time.monotonic()
        if now - self._shown >= (0.1 if self._live else LINE_EVERY) and now - self._start >= SILENT_BEFORE:
            self._show(now)

    def say(self, text: str) -> None:
        """Print a line of its own at once."""
        if not self._quiet:
            sys.stderr.write(("\r\x1b[2K" if self._live else "") + f"{self.label}: {text}\n")
            sys.stderr.flush()

    def _show(self, now: float, *, last: bool = False) -> None:
        if self._quiet:
            return
        seconds = max(now - self._start, 1e-9)
        rate = (self.done - self._before) / seconds
        share = f" {self.done / self.total:4.0%}" if self.total else ""
        text = f"{self.label}:{share} {self.done:,} {self.unit}, {rate:,.0f}/s, {seconds:.0f} s"
        if self.total and rate and self.done < self.total:
            text += f", {(self.total - self.done) / rate:.0f} s left"
        text += f"  {self.note}" if self.note else ""
        state = f"{self.done} {self.note}"
        if last and state == self._last and not self._live:
            return
        self._last = state
        if self._live:
            sys.stderr.write("\r\x1b[2K" + text + ("\n" if last else ""))
        else:
            sys.stderr.write(text + "\n")
        sys.stderr.flush()
        self._shown, self._printed = now, True

    def close(self) -> None:
        """Print the last state, unless the step was too short to have shown anything."""
        if self._printed or time.monotonic() - self._start >= SILENT_BEFORE:
            self._show(time.monotonic(), last=True)


@contextlib.contextmanager
def progress(label: str, *, total: int | None = None, unit: str = "rows", done: int = 0) -> Iterator[Progress]:
    """Yield a `Progress` on standard error; `done` units were done before.

    Set the environment variable `CTRKIT_QUIET` to silence all of them.
    """
    shown = Progress(label, total, unit, done)
    try:
        yield shown
    finally:
        shown.close()
