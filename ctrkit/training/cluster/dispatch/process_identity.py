"""Which process a role is, told exactly enough to see from the same machine that it is gone."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process of some machine."""

    pid: int
    host: str
    space: str  # Where the number means something: the boot of the machine and the namespace of process numbers.
    started: str  # By the machine's clock: a number used again is another process.

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        return cls(os.getpid(), socket.gethostname(), _space(), _started(os.getpid()) or "")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Process:
        return cls(int(values["pid"]), str(values["host"]), str(values["space"]), str(values["started"]))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_gone(self) -> bool:
        """Whether it surely ended; False where that cannot be seen from here."""
        return bool(self.space) and self.space == _space() and bool(self.started) and _started(self.pid) != self.started


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""  # Not Linux: nothing is known.


def _started(pid: int) -> str | None:
    """Clock ticks since boot; None when there is no such process, or only what its parent has not yet collected."""
    try:
        # The name of the program, in parentheses, may hold anything.
        values = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if values[0] in "ZX" else values[19]
