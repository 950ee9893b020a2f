"""A version that a server could not switch to is tried again, until it can or the alias has moved on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator

from ctrkit.commands.switching import RETRIES, switch_to_each


class Alias:
    """Versions as they come, and those that were tried."""

    def __init__(self, serves: Callable[[int, int], bool]) -> None:
        self.moves: queue.Queue[int] = queue.Queue()
        self.tried: queue.Queue[int] = queue.Queue()
        self._serves, self._count = serves, 0
        threading.Thread(
            target=switch_to_each, args=(self, self._switch), kwargs={"retry_every": 0.05}, daemon=True
        ).start()

    def __iter__(self) -> Iterator[int]:
        while True:
            yield self.moves.get()

    def _switch(self, version: int) -> bool:
        self._count += 1
        self.tried.put(version)
        return self._serves(version, self._count)

    def next(self) -> int:
        return self.tried.get(timeout=20)

    def is_still(self) -> bool:
        try:
            self.tried.get(timeout=0.3)
        except queue.Empty:
            return True
        return False


def test_a_version_that_is_served_is_not_tried_again() -> None:
    alias = Alias(lambda version, count: True)
    alias.moves.put(1)
    assert alias.next() == 1
    assert alias.is_still()


def test_one_that_could_not_be_served_is_tried_until_it_can() -> None:
    alias = Alias(lambda version, count: count == 3)
    alias.moves.put(7)
    assert [alias.next() for _ in range(3)] == [7, 7, 7]
    assert alias.is_still()


def test_it_is_given_up_after_some_tries_and_the_next_version_begins_anew() -> None:
    alias = Alias(lambda version, count: False)
    alias.moves.put(1)
    assert [alias.next() for _ in range(RETRIES + 1)] == [1] * (RETRIES + 1)
    assert alias.is_still()
    alias.moves.put(2)
    assert [alias.next() for _ in range(RETRIES + 1)] == [2] * (RETRIES + 1)
    assert alias.is_still()
