"""One account of a running cluster, merged from what it says of itself and what its launcher sees."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctrkit.training.cluster.launch.roles import kind
from ctrkit.training.cluster.launch.row import RoleRow

SLOW_BELOW = 0.5  # Share of the other workers' median steps/s; used where the status calls nobody slow.
SILENT = ("starting", "restarting", "stopping", "ended")  # States that the launcher sees, in which a role says nothing.


@dataclass(frozen=True, kw_only=True)
class RoleAccount:
    """One role; None where nothing is known."""

    name: str
    state: str
    slow: bool = False
    steps_per_second: float | None = None
    samples_per_second: float | None = None
    loss: float | None = None
    dropped: int | None = None
    cpu: float | None = None  # Percent of one core.
    memory: int | None = None  # Resident bytes.
    restarts: int = 0
    planned: float | None = None  # Bytes that a parameter server holds, slots among them.
    planned_share: float | None = None  # Of all parameter servers' bytes.
    traffic_share: float | None = None  # Of all parameter servers' traffic.

    @property
    def serves(self) -> bool:
        """Whether it is a parameter server."""
        return kind(self.name) == "ps"

    @property
    def trains(self) -> bool:
        """Whether it is a training task."""
        return kind(self.name) in ("chief", "worker")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The cluster; None where nothing is known."""

    roles: tuple[RoleAccount, ...]
    elapsed: float  # Seconds since the start.
    mode: str | None = None
    step: int | None = None
    steps: int | None = None
    steps_per_second: float | None = None
    samples_per_second: float | None = None
    checkpoint_step: int | None = None
    evaluated_step: int | None = None
    auc: float | None = None

    @property
    def share(self) -> float | None:
        """Of the steps that are done, in [0, 1]."""
        if self.step is None or not self.steps:
            return None
        return min(1.0, self.step / self.steps)

    @property
    def seconds_left(self) -> float | None:
        """At the present pace."""
        if self.step is None or not self.steps or not self.steps_per_second:
            return None
        return max(0, self.steps - self.step) / self.steps_per_second


def account(status: Mapping[str, Any] | None, rows: Sequence[RoleRow], elapsed: float) -> Account:
    """Merge the two; any part of `status` may be missing, or be of no use."""
    status = status or {}
    told = {**status, **_mapping(status.get("cluster"))}
    shown = {str(name): _mapping(entry) for name, entry in _mapping(status.get("roles")).items()}
    by_role = {row.role: row for row in rows}
    names = [*by_role, *(name for name in shown if name not in by_role)]
    slow, evaluation = _slow(shown), _mapping(told.get("evaluation"))
    totals = {key: sum(_number(entry, key) or 0.0 for entry in shown.values()) for key in ("bytes", "traffic")}
    return Account(
        roles=tuple(_role(name, by_role.get(name), shown.get(name, {}), name in slow, totals) for name in names),
        elapsed=elapsed,
        mode=str(told["mode"]) if told.get("mode") else None,
        step=_whole(told, "step"),
        steps=_whole(told, "steps"),
        steps_per_second=_number(told, "steps_per_second"),
        samples_per_second=_number(told, "samples_per_second"),
        checkpoint_step=_whole(told, "checkpoint_step"),
        evaluated_step=_whole(evaluation, "step"),
        auc=_number(evaluation, "auc"),
    )


def _role(
    name: str, row: RoleRow | None, entry: Mapping[str, Any], slow: bool, totals: Mapping[str, float]
) -> RoleAccount:
    said = str(entry.get("state") or "")
    # What the launcher sees is newer: a dead process cannot say so.
    state = row.state if row is not None and (row.state != "running" or not said) else said
    if state in SILENT:  # What it said last is over.
        entry = {key: value for key, value in entry.items() if key in totals or key == "dropped"}
    sizes = {key: _number(entry, key) for key in totals}
    shares = {key: None if size is None or not totals[key] else size / totals[key] for key, size in sizes.items()}
    return RoleAccount(
        name=name,
        state=state or "unknown",
        slow=slow and state not in SILENT,
        steps_per_second=_number(entry, "steps_per_second"),
        samples_per_second=_number(entry, "samples_per_second"),
        loss=_number(entry, "loss"),
        dropped=_whole(entry, "dropped"),
        cpu=None if row is None else row.cpu,
        memory=None if row is None else row.memory,
        restarts=0 if row is None else row.restarts,
        planned=sizes["bytes"],
        planned_share=shares["bytes"],
        traffic_share=shares["traffic"],
    )


def _slow(shown: Mapping[str, Mapping[str, Any]]) -> set[str]:
    said = {name for name, entry in shown.items() if entry.get("state") == "slow"}
    paces = {
        name: pace
        for name, entry in shown.items()
        if kind(name) in ("chief", "worker") and (pace := _number(entry, "steps_per_second")) is not None
    }
    if said or len(paces) < 2:
        return said
    others = {name: statistics.median(pace for other, pace in paces.items() if other != name) for name in paces}
    return {name for name, pace in paces.items() if pace < SLOW_BELOW * others[name]}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(entry: Mapping[str, Any], key: str) -> float | None:
    value = entry.get(key)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _whole(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
