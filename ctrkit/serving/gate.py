"""Close something only when nobody is inside: many threads enter and leave, one closes and waits."""

from __future__ import annotations

import threading


class Gate:
    """Open until `close`; then nobody gets in."""

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._lock = threading.Lock()  # Taken for every request: by itself it costs a third of a condition.
        self._changed = threading.Condition(self._lock)

    @property
    def inside(self) -> int:
        """How many are inside now."""
        return self._inside

    def enter(self) -> bool:
        """Get in, or False when the gate is closed; who got in must `leave`."""
        with self._lock:
            if not self._closed:
                self._inside += 1
            return not self._closed

    def leave(self) -> None:
        """End what `enter` began."""
        with self._lock:
            self._inside -= 1
            if self._closed:
                self._changed.notify_all()

    def close(self) -> bool:
        """Let nobody in any more and wait until the last has left; False when it was closed before."""
        with self._changed:
            first = not self._closed
            self._closed = True
            self._changed.wait_for(lambda: self._inside == 0)
            return first
