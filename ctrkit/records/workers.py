"""A few threads that work ahead of the one that takes their results, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Workers:
    """Threads for work that releases Python's lock; use it in a `with` block, at whose end they are gone."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prepare")

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, work: Callable[..., _Result], *arguments: object) -> Future[_Result]:
        """Have `work(*arguments)` done when a thread is free."""
        return self._pool.submit(work, *arguments)

    def map(
        self, work: Callable[[_Item], _Result], items: Iterable[_Item], *, ahead: int | None = None
    ) -> Iterator[_Result]:
        """Yield `work(item)` of each item in order, `ahead` of them done in advance (None: one a thread).

        So many results and items are in memory.
        """
        waiting: deque[Future[_Result]] = deque()
        for item in items:
            waiting.append(self._pool.submit(work, item))
            if len(waiting) > (self._threads if ahead is None else ahead):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
