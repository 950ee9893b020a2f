"""What the roles of a cluster ask their chief, and what it answers.

Workers ask before each training step; the answer "go" is a *permit*, given up by their next question. So the chief
knows when no update is under way, which is when variables may be saved. Answers are JSON: `service` gives them
to other processes, and `DispatchClient` asks the questions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from ctrkit.training.cluster.dispatch.member import STARTING, TRAINING, Member, Permit
from ctrkit.training.cluster.dispatch.process_identity import Process
from ctrkit.training.cluster.dispatch.state import ClusterState
from ctrkit.training.cluster.ending import FAILED

GO, STOP, STALE = "go", "stop", "stale"  # Answers to `step`.
WAIT, DONE = "wait", "done"  # Answers to `lease`, beside a lease and `STALE`.
AGAIN = "again"  # To any question that had to wait too long: ask again.
REPLACED = "replaced"  # Another process, or session, took the place of the one that asks.


class Questions:
    """One method for each question; safe to ask from many threads."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def join(self, role: str, index: int, incarnation: str, process: Mapping[str, Any]) -> dict[str, Any]:
        """Enter; what an earlier incarnation of the role held goes to others."""
        with self._state as cluster:
            known = cluster.roster.incarnation(role, index, incarnation)
            if known is None:
                before = cluster.roster.find(role, index)
                in_flight = before is not None and before.permit is not None
                member = cluster.roster.join(role, index, incarnation, Process.from_dict(dict(process)))
                cluster.release(member, in_flight)
                cluster.quiet.notify_all()
            return {
                "generation": cluster.generation,
                "info": cluster.info,
                "ready": cluster.ready,
                "end": cluster.end,
            }

    def wait_ready(self, role: str, index: int, incarnation: str | None, wait: float) -> dict[str, Any]:
        """The step at which the variables are; or the end; or neither yet. Says whether the asking role has joined."""
        with self._state as cluster:
            cluster.wait_go(lambda: cluster.ready is not None or cluster.end is not None, wait)
            joined = incarnation is None or cluster.roster.incarnation(role, index, incarnation) is not None
            replaced = incarnation is not None and cluster.roster.was_replaced(role, index, incarnation)
            return {
                "generation": cluster.generation,
                "ready": cluster.ready,
                "end": cluster.end,
                "joined": joined,
                "replaced": replaced,
            }

    def lease(self, role: str, index: int, incarnation: str, generation: int) -> dict[str, Any]:
        """Tickets to train, or "wait", "done", "stale", "replaced"."""
        with self._state as cluster:
            member, refusal = self._asks(role, index, incarnation, generation)
            if member is None:
                return {"answer": refusal}
            if cluster.end is not None:
                return {"answer": DONE}
            if cluster.ready is None:
                return {"answer": WAIT}
            cluster.look()
            if cluster.holds and cluster.is_idle(member):
                return {"answer": WAIT}  # Else it would begin a step inside the hold.
            lease = cluster.ledger.lease(member.name)
            member.starves = lease is None
            if lease is None:
                cluster.quiet.notify_all()
                return {"answer": DONE if cluster.ledger.complete else WAIT}
            return {"answer": "lease", "lease": [lease.first, lease.count]}

    def step(
        self,
        role: str,
        index: int,
        incarnation: str,
        generation: int,
        acknowledged: Iterable[tuple[int, bool]],
        stats: Mapping[str, Any],
        step: int | None,
        wait: float,
        thread: int | None = None,
    ) -> dict[str, Any]:
        """A permit for the next step, or "stop", "stale", "replaced", or "again" after `wait` seconds of a hold."""
        with self._state as cluster:
            member, refusal = self._asks(role, index, incarnation, generation)
            if member is not None:
                self._settle(member, acknowledged, stats, least=1)
            if cluster.end is not None:
                return {"answer": STOP}
            if member is None:
                return {"answer": refusal}

            def decided() -> bool:
                changed = cluster.generation != generation or member.incarnation != incarnation or member.lost
                return changed or cluster.end is not None or not self._is_kept(step, thread)

            if not decided():
                member.kept_waiting = True
                cluster.wait_go(decided, wait)
                if member.incarnation == incarnation:
                    member.kept_waiting = False
            if cluster.end is not None:
                return {"answer": STOP}
            _, refusal = self._asks(role, index, incarnation, generation)
            if refusal is not None:
                return {"answer": refusal}
            if cluster.closed or not decided():
                return {"answer": AGAIN}
            member.permit = Permit(time.monotonic(), thread, generation)
            if member.state == STARTING:
                member.state = TRAINING
            return {"answer": GO}

    def heartbeat(
        self, role: str, index: int, incarnation: str | None, state: str, stats: Mapping[str, Any], process: Any
    ) -> dict[str, Any]:
        """A sign of life of any role."""
        with self._state as cluster:
            if incarnation is None or not cluster.roster.was_replaced(role, index, incarnation):
                member = cluster.roster.seen(role, index, Process.from_dict(process))
                member.state = state
                member.stats.update(stats)
                cluster.quiet.notify_all()
            cluster.look()
            return {"generation": cluster.generation, "end": cluster.end}

    def leave(
        self,
        role: str,
        index: int,
        incarnation: str,
        generation: int,
        state: str,
        acknowledged: Iterable[tuple[int, bool]],
        stats: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Go; what it still holds goes to others."""
        with self._state as cluster:
            member = cluster.roster.incarnation(role, index, incarnation)
            if member is not None:
                self._settle(member, acknowledged if generation == cluster.generation else (), stats, least=0)
                cluster.release(member)
                member.left = state
                cluster.quiet.notify_all()
            return {}

    def fail(self, role: str, index: int, reason: str) -> dict[str, Any]:
        """A role found that the training cannot go on: it ends for all, and nothing of it is saved any more."""
        with self._state as cluster:
            if cluster.failure is None:
                cluster.failure = f"{role}-{index}: {reason}"
            cluster.finish(FAILED, cluster.failure)
            return {}

    def wait_end(self, wait: float, generation: int | None = None) -> dict[str, Any]:
        """How the training ended, or None so far; answered at once where the generation is not the given one."""
        with self._state as cluster:
            cluster.wait_go(lambda: cluster.end is not None or generation not in (None, cluster.generation), wait)
            return {"end": cluster.end, "generation": cluster.generation}

    def status(self) -> dict[str, Any]:
        """Everything for a screen, as JSON."""
        with self._state as cluster:
            cluster.look()
            roles = cluster.roster.rows()
            return {
                "generation": cluster.generation,
                "ready": cluster.ready is not None,
                "held": cluster.holds > 0,
                "end": cluster.end,
                "cluster": {
                    **cluster.facts,
                    "samples_per_second": round(sum(row["samples_per_second"] for row in roles.values()), 1),
                    "dropped": sum(row["dropped"] for row in roles.values()),
                    "tickets": cluster.ledger.tickets,
                    "tickets_done": cluster.ledger.done,
                    "stray": cluster.ledger.stray,
                },
                "roles": roles,
            }

    def _asks(self, role: str, index: int, incarnation: str, generation: int) -> tuple[Member | None, str | None]:
        """The member that asks, or why it gets nothing."""
        cluster = self._state
        member = cluster.roster.incarnation(role, index, incarnation)
        if member is None:
            return None, REPLACED if cluster.roster.was_replaced(role, index, incarnation) else STALE
        member.trains = True
        if generation != cluster.generation or member.lost:
            if member.permit is not None:
                member.permit = None
                cluster.quiet.notify_all()
            return None, STALE
        return member, None

    def _settle(
        self, member: Member, acknowledged: Iterable[tuple[int, bool]], stats: Mapping[str, Any], *, least: int
    ) -> None:
        """Take the permit back, and what was trained with it: a step for each ticket, and `least` without any."""
        tickets = list(acknowledged)
        held = [self._state.ledger.acknowledge(member.name, ticket, dropped) for ticket, dropped in tickets]
        drops = sum(dropped for (_, dropped), was_held in zip(tickets, held, strict=True) if was_held)
        member.end_steps(time.monotonic(), max(least, len(tickets)), dict(stats), dropped=drops)
        self._state.quiet.notify_all()

    def _is_kept(self, step: int | None, thread: int | None) -> bool:
        cluster = self._state
        if cluster.holds or cluster.ready is None:
            return True
        return thread is None and cluster.gate is not None and step is not None and step >= cluster.gate
