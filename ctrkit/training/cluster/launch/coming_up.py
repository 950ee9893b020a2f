"""Which roles have not come up, and which of them to name: one that waits for another is not to blame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrkit.training.cluster.launch.ports import accepts
from ctrkit.training.cluster.launch.roles import CHIEF, kind


class ComingUp:
    """Follow each start of each role until it is up: a parameter server listens, the status shows any other.

    `has_status`: without one, the others are taken to be up once the parameter servers are. Times: monotonic seconds.
    """

    def __init__(self, ps_ports: Mapping[str, int], within: float, *, has_status: bool) -> None:
        self._ps_ports, self._within, self._has_status = dict(ps_ports), within, has_status
        self._started: dict[str, float] = {}
        self._up: dict[str, float] = {}

    @property
    def up(self) -> set[str]:
        """Roles that have come up and still run."""
        return set(self._up)

    def started(self, role: str, now: float) -> None:
        """A new process of `role` began."""
        self._up.pop(role, None)
        self._started[role] = now

    def ended(self, role: str) -> None:
        """`role` has no process now: nothing is expected of it."""
        self._up.pop(role, None)
        self._started.pop(role, None)

    def look(self, status: Mapping[str, Any] | None, asked_at: float, now: float) -> None:
        """See who has come up meanwhile; `status` was asked for at `asked_at`."""
        shown = (status or {}).get("roles") or {}
        for role in self._waiting():
            if role in self._ps_ports:
                came = accepts(self._ps_ports[role])
            elif self._has_status:
                came = _heard(shown.get(role), asked_at - self._started[role])
            else:
                came = self._since(role) is not None
            if came:
                self._up[role] = now

    def late(self, now: float) -> str | None:
        """The role to name, if one has been awaited for too long.

        The chief is given its time from when the parameter servers listen, the others from when the chief is up.
        """
        for role in self._waiting():
            since = self._since(role)
            if since is not None and now - since > self._within:
                return role
        return None

    def why(self, role: str) -> str:
        """What is missing of a role that is late."""
        if role in self._ps_ports:
            return f"port {self._ps_ports[role]} accepts no connection"
        return "the cluster gives no account of itself" if role == CHIEF else "the cluster's status does not show it"

    def _waiting(self) -> list[str]:
        waiting = [role for role in self._started if role not in self._up]
        return sorted(waiting, key=lambda role: (kind(role) != "ps", role != CHIEF))

    def _since(self, role: str) -> float | None:
        """When all that the role needs was up; None when it is not."""
        needed = [] if role in self._ps_ports else [*self._ps_ports, *([] if role == CHIEF else [CHIEF])]
        if any(other not in self._up for other in needed):
            return None
        return max([self._started[role], *(self._up[other] for other in needed)])


def _heard(entry: Mapping[str, Any] | None, age: float) -> bool:
    """Whether the status heard the role within its last `age` seconds: this start of it, not only an earlier one."""
    if not entry:
        return False
    silent = entry.get("silent_seconds", entry.get("heard_seconds_ago"))
    return silent is None or silent < age
