"""One call to its answer: which lane is asked when, as steps that threads and asyncio carry out alike."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from typing import Any, NamedTuple

import grpc

from ctrkit.serving.connection.hedges import Hedges
from ctrkit.serving.connection.options import ConnectionOptions
from ctrkit.serving.connection.problems import explained
from ctrkit.serving.connection.targets import Lane, Targets

PUSHBACK = "grpc-retry-pushback-ms"  # gRPC's own word for "come again after so many milliseconds".
OVERLOADED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED)  # By a server; by its gRPC, unread.


class Call(NamedTuple):
    """A request to a gRPC method; `seconds` is its whole budget, `target` the only address that may answer it."""

    method: str
    request: bytes
    seconds: float
    metadata: tuple[tuple[str, str], ...] = ()
    target: str | None = None
    hedged: bool = True


class Reply(NamedTuple):
    """The answer's bytes and who gave it."""

    raw: bytes
    target: str


class Step(NamedTuple):
    """Send the call to `start` (None: to nobody new), then wait for any attempt's outcome.

    At most `wait` seconds (None: as long as it takes); the new attempt has `seconds`.
    """

    start: Lane | None
    seconds: float
    wait: float | None


class Outcome(NamedTuple):
    """How an attempt ended: `raw` on success, else a code and texts."""

    lane: Lane
    raw: bytes | None
    code: grpc.StatusCode | None = None
    details: str = ""
    pushback: float | None = None  # Seconds.


def failed(error: Any, lane: Lane) -> Outcome:
    """The outcome of an attempt that ended with one of gRPC's errors."""
    pushback = None
    for key, value in error.trailing_metadata() or ():
        if key == PUSHBACK:
            pushback = float(value) / 1e3 if str(value).isdigit() else None
    return Outcome(lane, None, error.code(), error.details() or "", pushback)


Attempts = Generator[Step, "Outcome | None", Reply]


def attempts(call: Call, targets: Targets, hedges: Hedges, options: ConnectionOptions) -> Attempts:
    """Yield steps, get the outcome of an attempt (None: `wait` passed); return the reply or raise its error."""
    began = time.monotonic()
    until = began + call.seconds
    running: set[Lane] = set()
    tried: list[Lane] = []
    made = 0
    again: float | None = began  # When the next ordinary attempt starts; None: not planned.
    unavailable: Outcome | None = None  # The last that was.
    hedge_at = None
    if call.hedged and hedges.delay is not None and hedges.delay < call.seconds:
        hedge_at = began + hedges.delay
    try:
        while True:
            now = time.monotonic()
            start: Lane | None = None
            if again is not None and now >= again:
                again, start = None, targets.take(only=call.target, tried=tried)
                made += 1
                if made == 1:
                    hedges.asked()
            elif hedge_at is not None and now >= hedge_at:
                hedge_at = None
                start = _hedge(call, targets, hedges, tried)
            if start is not None:
                running.add(start)
                tried.append(start)
            alarms = [alarm for alarm in (again, hedge_at) if alarm is not None]
            wait = max(0.0, min(alarms) - time.monotonic()) if alarms else None
            outcome = yield Step(start, max(0.001, until - now), wait)
            if outcome is None:
                continue
            running.discard(outcome.lane)
            targets.release(outcome.lane)
            _learn(outcome, targets)
            if outcome.raw is not None:
                hedges.answered(time.monotonic() - began)
                return Reply(outcome.raw, outcome.lane.target.address)
            if outcome.code is grpc.StatusCode.UNAVAILABLE:
                unavailable = outcome
            delay = _delay(outcome, made, targets, tried, options)
            if delay is not None and call.target is not None:
                delay = max(delay, options.backoff)
            if delay is not None and made < options.attempts and time.monotonic() + delay < until:
                again = time.monotonic() + delay
            elif not running or not _may_be_better_elsewhere(outcome):
                if outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED and unavailable is not None:
                    outcome = unavailable  # The last attempt had next to no time; this is what is wrong.
                raise explained(outcome.code, outcome.details, outcome.lane.target.address, call.seconds)
    finally:
        for lane in running:  # Their calls are cancelled by whoever carries the steps out.
            targets.release(lane)


def _hedge(call: Call, targets: Targets, hedges: Hedges, tried: list[Lane]) -> Lane | None:
    lane = targets.take(only=call.target, tried=tried, other=True)
    if lane is not None and not hedges.take():
        targets.release(lane)
        return None
    return lane


def _learn(outcome: Outcome, targets: Targets) -> None:
    if outcome.code is grpc.StatusCode.UNAVAILABLE:
        targets.bad(outcome.lane)
    elif outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        targets.late(outcome.lane)
    else:
        targets.good(outcome.lane)  # Even a refusal is a sign of life.


def _may_be_better_elsewhere(outcome: Outcome) -> bool:
    return outcome.code is grpc.StatusCode.UNAVAILABLE or outcome.code in OVERLOADED


def _delay(
    outcome: Outcome, made: int, targets: Targets, tried: list[Lane], options: ConnectionOptions
) -> float | None:
    """Seconds until the next attempt is worth while; None: it is not."""
    if outcome.code in OVERLOADED:
        return outcome.pushback
    if outcome.code is not grpc.StatusCode.UNAVAILABLE:
        return None
    if outcome.pushback is not None:
        return outcome.pushback
    now, asked = time.monotonic(), {lane.target for lane in tried}
    if any(target not in asked and target.out_until <= now for target in targets.all):
        return 0.0
    return options.backoff * 2.0 ** (made - 1) * random.uniform(0.5, 1.0)
