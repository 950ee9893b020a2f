"""One role of a local cluster as a process: started again and again, in a session of its own, with one log file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TAIL_BYTES = 32768  # Enough for the last lines of any log of ours.


@dataclass(frozen=True)
class Exit:
    """How and when one start of a role ended."""

    role: str
    status: int  # As subprocess has it: negative is the number of a signal.
    at: float  # Monotonic seconds.

    @property
    def how(self) -> str:
        """In words.

        >>> Exit("ps-0", -9, 0.0).how
        'killed by SIGKILL'
        """
        if self.status >= 0:
            return f"exit status {self.status}"
        try:
            return f"killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"killed by signal {-self.status}"


class RoleProcess:
    """`exit` is None while the process of the last start runs; `wake` is set when it ends.

    An ended process stays a zombie until `clear` is called, so that neither its number nor its group's can become
    another's before the last signal was sent.
    """

    def __init__(
        self, role: str, command: Sequence[str], env: Mapping[str, str], log: Path, wake: threading.Event
    ) -> None:
        self.role, self.log = role, log
        self.exit: Exit | None = None
        self._command, self._env, self._wake = list(command), dict(env), wake
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        process = self._process
        return process.pid if process is not None and self.exit is None else None

    @property
    def departed(self) -> bool:
        """Whether the process ended, and `clear` was not called yet."""
        return self._process is not None and self.exit is not None

    def start(self, headline: str) -> None:
        """Start the command; `headline` goes to the log first. Raises `OSError` when the command cannot be run."""
        with self.log.open("ab") as log:
            log.write(f"=== {headline} at {time.strftime('%Y-%m-%d %H:%M:%S')} ===\n".encode())
            log.flush()
            self._log_start = log.tell()
            process = subprocess.Popen(
                self._command,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.exit, self._process = None, process
        threading.Thread(target=self._watch, args=(process,), name=f"watch {self.role}", daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Note the moment of the end: it tells which of several roles failed first."""
        try:
            result = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:  # Something else in this program reaped it.
            result = None
        if result is None:
            status = process.wait()
        else:
            status = result.si_status if result.si_code == os.CLD_EXITED else -result.si_status
        self.exit = Exit(self.role, status, time.monotonic())
        self._wake.set()

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send to the process, or to all of its group; nothing happens when they are gone."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                (os.killpg if group else os.kill)(self._process.pid, number)

    def clear(self) -> None:
        """Kill what an ended process left of its group, and let its number go."""
        if self._process is not None and self.exit is not None:
            self.signal(signal.SIGKILL, group=True)
            self._process.wait()
            self._process = None

    def tail(self, lines: int) -> list[str]:
        """The last lines that the last start wrote."""
        try:
            with self.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, end - TAIL_BYTES))
                text = log.read().decode(errors="replace").rstrip()
        except OSError as error:
            return [f"(the log cannot be read: {error})"]
        # A progress bar writes over its own line.
        return [line.rpartition("\r")[2] for line in text.splitlines()][-lines:]
