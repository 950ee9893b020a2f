"""One role's process as the screen shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RoleRow:
    """What the launcher knows of a role."""

    role: str
    state: str  # "starting", "running", "restarting", "ended" or "stopping".
    pid: int | None = None
    restarts: int = 0
    cpu: float | None = None  # Percent of one core.
    memory: int | None = None  # Resident bytes.
    last_failure: str | None = None  # "was killed by SIGKILL": how an earlier start ended.
