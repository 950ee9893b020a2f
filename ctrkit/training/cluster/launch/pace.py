"""How fast a counter has grown of late."""

from __future__ import annotations

from collections import deque

LOOKS_BACK = 30.0  # Seconds: longer than a checkpoint takes, short enough to follow a change.


class Pace:
    """Fed with a counter now and then; `per_second` is None until it has grown."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def see(self, count: int, at: float) -> None:
        """The counter stands at `count` at time `at`. When it falls back, what went before does not count."""
        if self._seen and count < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((at, count))
        while at - self._seen[0][0] > LOOKS_BACK:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        if not self._seen:
            return None
        (began, first), (now, last) = self._seen[0], self._seen[-1]
        return (last - first) / (now - began) if last > first and now > began else None
