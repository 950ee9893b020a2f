"""A role's side of the dispatch: ask the chief for tickets and steps, in its own process or another."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ctrkit.errors import IndexMismatchError, TrainingError
from ctrkit.training.cluster.dispatch.calls import RemoteCalls, TrainingOver
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Lease
from ctrkit.training.cluster.dispatch.process_identity import Process
from ctrkit.training.cluster.dispatch.questions import AGAIN, DONE, REPLACED, STOP, WAIT
from ctrkit.training.cluster.ending import End

GIVE_UP = 300.0  # Seconds without an answer until a role ends with an error: time for a chief to be started again.
POLL = 20.0  # Seconds that the chief may keep a question waiting.
ANSWER = 10.0  # Seconds that an answer may take beyond that.
WAIT_FOR_TICKETS = 0.1  # Seconds between two questions for tickets while others train the last ones.


@dataclass(frozen=True)
class Joined:
    """What a role is told when it joins."""

    generation: int
    info: dict[str, Any] = field(default_factory=dict)  # What the chief gave for all.
    ready: bool = False  # Whether sessions may be opened.
    end: End | None = None  # When the training is over already.


class Calls(Protocol):
    """The way to the dispatch."""

    @property
    def thread(self) -> int | None: ...
    @property
    def fingerprint(self) -> str | None: ...
    def call(
        self, name: str, arguments: dict[str, Any], *, seconds: float, give_up: float | None = None
    ) -> dict[str, Any]: ...
    def close(self) -> None: ...


class LocalCalls:
    """Questions within the chief's own process."""

    fingerprint: str | None = None

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    @property
    def thread(self) -> int | None:
        """The permit belongs to the thread that asks."""
        return threading.get_ident()

    def call(
        self, name: str, arguments: dict[str, Any], *, seconds: float, give_up: float | None = None
    ) -> dict[str, Any]:
        """Ask."""
        answer: dict[str, Any] = getattr(self._dispatch.questions, name)(**arguments)
        return answer

    def close(self) -> None:
        """Nothing is open."""


class DispatchClient:
    """One role's connection to its chief.

    Safe to share between the thread that trains, the one that reads and the one that sends heartbeats.

    >>> client = DispatchClient("artifacts/criteo/runs/first", "worker", 0)  # doctest: +SKIP
    >>> client.join(); client.wait_ready(600)  # doctest: +SKIP
    >>> for first, count in client.leases(): ...  # doctest: +SKIP
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        role: str,
        index: int = 0,
        *,
        fingerprint: str | None = None,
        give_up: float = GIVE_UP,
        calls: Calls | None = None,
    ) -> None:
        """Connect on the first question.

        Args:
            run_dir: folder of the run, in which the chief says where it listens.
            role: chief, worker, ps or evaluator.
            index: number of the task among those of its role.
            fingerprint: of this role's feature index; `join` refuses a chief with another one.
            give_up: seconds without an answer after which a question raises `TrainingError`.
            calls: another way to the dispatch; see `local`.
        """
        self.role, self.index = role, index
        self.generation = 0  # Of the last `join` or `wait_ready`.
        self.end: End | None = None  # Once the training is over.
        self.leases_ended: str | None = None  # Why the last `leases` ended: "done", "stale" or "replaced".
        self._fingerprint = fingerprint
        self._calls: Calls = RemoteCalls(Path(run_dir), give_up=give_up) if calls is None else calls
        self._incarnation: str | None = None
        self._process = Process.this().to_dict()
        self._abandoned = threading.Event()

    @classmethod
    def local(cls, dispatch: Dispatch, role: str = "chief", index: int = 0) -> DispatchClient:
        """The same for the chief itself, without a socket; a permit belongs to the thread that asked for it."""
        return cls("", role, index, calls=LocalCalls(dispatch))

    @property
    def name(self) -> str:
        """Such as `worker-1`."""
        return f"{self.role}-{self.index}"

    def join(self, *, give_up: float | None = None) -> Joined:
        """Enter the cluster, or enter it anew with a new session: what was held before goes to others.

        `give_up` replaces that of the client for this question.
        Raises `IndexMismatchError` when the chief has another feature index, `TrainingError` when it does not answer.
        """
        incarnation = uuid.uuid4().hex
        try:
            answer = self._ask("join", give_up=give_up, incarnation=incarnation, process=self._process)
        except TrainingOver as over:
            return Joined(self.generation, end=self._ended(over.end))
        if self._fingerprint is not None and self._calls.fingerprint not in (None, self._fingerprint):
            raise IndexMismatchError(
                f"{self.name} reads records of index {self._fingerprint[:12]}, its chief trains with index "
                f"{str(self._calls.fingerprint)[:12]}: ids would hit unrelated embeddings. Give all tasks of the "
                "cluster the same work_dir."
            )
        self._incarnation, self.generation = incarnation, answer["generation"]
        self._abandoned.set()  # Ends the leases of an earlier session.
        self._abandoned = threading.Event()
        return Joined(answer["generation"], answer["info"], answer["ready"] is not None, self._ended(answer["end"]))

    def wait_ready(self, timeout: float) -> int | None:
        """Return the step at which the chief's variables are, once they are; None when the training is over.

        Raises `TrainingError` after `timeout` seconds.
        """
        until = time.monotonic() + timeout
        while True:
            wait = max(0.0, min(POLL, until - time.monotonic()))
            try:
                answer = self._ask("wait_ready", wait=wait, incarnation=self._incarnation)
            except TrainingOver as over:
                answer = {"end": over.end, "ready": None}
            if self._ended(answer["end"]) is not None:
                return None
            if answer["replaced"]:
                raise self._replaced()
            if not answer["joined"]:  # The chief was started again meanwhile.
                self.join()
            elif answer["ready"] is not None:
                self.generation = answer["generation"]
                return int(answer["ready"])
            if time.monotonic() >= until:
                raise TrainingError(
                    f"{self.name}: the chief answers, but had not initialised or restored the variables after "
                    f"{timeout:g} s. Look at its log: does it wait for a parameter server?"
                )

    def lease(self) -> Lease | str:
        """Return tickets to train, or "wait" (others hold the last ones), "done", "stale", "replaced"."""
        return self._lease(self._incarnation, self.generation)

    def leases(self) -> Iterator[tuple[int, int]]:
        """Yield `(first ticket, count)`, waiting where there may be more; `leases_ended` tells why it stopped.

        Bound to the last `join`: after the next one it ends. For `Records.leased`. It waits for the caller's own
        tickets too, so acknowledge what was trained before asking for more.
        """
        incarnation, generation, abandoned = self._incarnation, self.generation, self._abandoned
        self.leases_ended = None
        while True:
            answer = self._lease(incarnation, generation)
            if isinstance(answer, Lease):
                yield answer.first, answer.count
            elif answer != WAIT:
                break
            elif abandoned.wait(WAIT_FOR_TICKETS):
                answer = REPLACED
                break
        if incarnation == self._incarnation:
            self.leases_ended = answer

    def abandon_leases(self) -> None:
        """Let the `leases` of now end, also one that waits for tickets."""
        self._abandoned.set()

    def step(
        self,
        acknowledged: Iterable[tuple[int, bool]] = (),
        stats: Mapping[str, Any] | None = None,
        *,
        step: int | None = None,
    ) -> str:
        """Ask before each training step, or before every few; waits while the chief holds the cluster.

        Args:
            acknowledged: `(ticket, dropped)` of what was trained since the last question.
            stats: of what was trained: `samples` in all, `loss`, `seconds` a step (else measured by the chief) and
                anything else for the screen.
            step: the global step that this worker has seen, where the chief sets gates.
        Returns:
            "go"; "stop": the training is over; "stale": `join` and `wait_ready` again, and open a new session.
        Raises:
            TrainingError: the chief does not answer, or another process took the place of this one.
        """
        tickets, values = [(int(ticket), bool(dropped)) for ticket, dropped in acknowledged], dict(stats or {})
        while True:
            try:
                answer = self._ask(
                    "step",
                    incarnation=self._incarnation or "",
                    generation=self.generation,
                    acknowledged=tickets,
                    stats=values,
                    step=step,
                    wait=POLL,
                    **self._thread(),
                )["answer"]
            except TrainingOver as over:
                self._ended(over.end)
                return STOP
            if answer == REPLACED:
                raise self._replaced()
            if answer != AGAIN:
                return str(answer)
            tickets, values = [], {}

    def heartbeat(self, state: str, stats: Mapping[str, Any] | None = None) -> End | None:
        """Say that the role lives and what it does; returns the end of the training, or None so far.

        Raises `TrainingError` at once when the chief does not answer.
        """
        try:
            answer = self._ask(
                "heartbeat",
                give_up=0.0,
                incarnation=self._incarnation,
                state=state,
                stats=dict(stats or {}),
                process=self._process,
            )
        except TrainingOver as over:
            answer = {"end": over.end}
        return self._ended(answer["end"])

    def leave(
        self,
        state: str = "finished",
        acknowledged: Iterable[tuple[int, bool]] = (),
        stats: Mapping[str, Any] | None = None,
        *,
        give_up: float = 5.0,
    ) -> None:
        """Give up the permit and what is held; a chief that is gone is not waited for."""
        if self._incarnation is None:
            return
        try:
            self._ask(
                "leave",
                give_up=give_up,
                incarnation=self._incarnation,
                generation=self.generation,
                state=state,
                acknowledged=[(int(ticket), bool(dropped)) for ticket, dropped in acknowledged],
                stats=dict(stats or {}),
            )
        except (TrainingOver, TrainingError):
            return

    def fail(self, reason: str, *, give_up: float = 5.0) -> None:
        """Say that the training cannot go on: nothing of it is saved. A chief that is gone is not waited for."""
        with contextlib.suppress(TrainingOver, TrainingError):
            self._ask("fail", give_up=give_up, reason=reason)

    def wait_end(self, timeout: float | None = None, *, generation: int | None = None) -> End | None:
        """Return how the training ended, once it is over.

        None after `timeout` seconds; or where the chief is not of this `generation` any more, which needs all again.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            wait = POLL if until is None else max(0.0, min(POLL, until - time.monotonic()))
            try:
                answer = self._calls.call("wait_end", {"wait": wait, "generation": generation}, seconds=wait + ANSWER)
            except TrainingOver as over:
                answer = {"end": over.end, "generation": generation}
            went_back = generation is not None and answer["generation"] != generation
            if self._ended(answer["end"]) is not None or went_back or (until is not None and time.monotonic() >= until):
                return self.end

    def status(self, *, give_up: float | None = None) -> dict[str, Any]:
        """Everything for a screen; see `Questions.status`. Once the chief is gone: `{"end": …}` alone."""
        try:
            return self._calls.call("status", {}, seconds=ANSWER, give_up=give_up)
        except TrainingOver as over:
            return {"end": over.end, "cluster": {}, "roles": {}}

    def close(self) -> None:
        """Close the connection; questions under way in other threads raise `TrainingError`."""
        self._abandoned.set()
        self._calls.close()

    def __enter__(self) -> DispatchClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _replaced(self) -> TrainingError:
        return TrainingError(
            f"{self.name} was started a second time, and the new process took its place: this one (pid {os.getpid()}) "
            "ends. If that was not meant, look who starts it twice."
        )

    def _lease(self, incarnation: str | None, generation: int) -> Lease | str:
        try:
            answer = self._ask("lease", incarnation=incarnation or "", generation=generation)
        except TrainingOver as over:
            self._ended(over.end)
            return DONE
        return Lease(*answer["lease"]) if answer["answer"] == "lease" else str(answer["answer"])

    def _ask(self, name: str, *, give_up: float | None = None, **arguments: Any) -> dict[str, Any]:
        who = {"role": self.role, "index": self.index}
        seconds = float(arguments.get("wait", 0.0)) + ANSWER
        return self._calls.call(name, {**who, **arguments}, seconds=seconds, give_up=give_up)

    def _thread(self) -> dict[str, Any]:
        thread = self._calls.thread
        return {} if thread is None else {"thread": thread}

    def _ended(self, end: End | None) -> End | None:
        if end is not None:
            self.end = end
        return self.end
