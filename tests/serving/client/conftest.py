"""The two clients behind one way to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ctrkit.serving.client import AsyncClient, Client, Ranking

Ask = Callable[..., list[Ranking]]


@pytest.fixture(params=["threads", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """`ask(requests, target, …)`: rank (user, context, ads) one after another by a client of its own."""

    def by_threads(requests: Sequence[tuple[Mapping, Mapping, Sequence]], *args: Any, **options: Any) -> list[Ranking]:
        with Client(*args, **options) as client:
            return [client.ranking(*one) for one in requests]

    async def in_loop(
        requests: Sequence[tuple[Mapping, Mapping, Sequence]], *args: Any, **options: Any
    ) -> list[Ranking]:
        async with AsyncClient(*args, **options) as client:
            return [await client.ranking(*one) for one in requests]

    def by_asyncio(*args: Any, **options: Any) -> list[Ranking]:
        return asyncio.run(in_loop(*args, **options))

    return by_threads if request.param == "threads" else by_asyncio
