"""`Client` for asyncio."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctrkit.serving.client.ads import Ad
from ctrkit.serving.client.opened import Opened

if TYPE_CHECKING:
    import numpy as np

    from ctrkit.indexing import FeatureIndex
    from ctrkit.serving.client.ranking import Ranking
    from ctrkit.serving.connection.asynchronous import AsyncConnection
    from ctrkit.serving.connection.messages import VersionStatus
    from ctrkit.serving.signatures import Signature


class AsyncClient(Opened):
    """Scores from a server, for one event loop; what it is given and what it returns are as with `Client`.

    >>> async with AsyncClient("127.0.0.1:8500", ad_key="ad_id") as client:  # doctest: +SKIP
    ...     scores = await client.rank({"user_id": "u1"}, {"hour": 9}, [{"ad_id": "a"}, {"ad_id": "b"}])
    """

    connection: AsyncConnection

    def _connected(self, *where: Any, **how: Any) -> AsyncConnection:
        from ctrkit.serving.connection.asynchronous import AsyncConnection  # See `Opened`.

        return AsyncConnection(*where, **how)

    async def open(self) -> FeatureIndex:
        """The feature index; fetched when it was not yet."""
        return (await self.connection.hold(self._asking.opening())).ranker.index

    async def rank(
        self,
        user: Mapping[str, Any],
        context: Mapping[str, Any],
        ads: Sequence[Ad],
        *,
        deadline: float | None = None,
    ) -> np.ndarray:
        """See `Client.rank`."""
        return (await self.ranking(user, context, ads, deadline=deadline)).scores

    async def ranking(
        self,
        user: Mapping[str, Any],
        context: Mapping[str, Any],
        ads: Sequence[Ad],
        *,
        deadline: float | None = None,
    ) -> Ranking:
        """See `Client.ranking`."""
        return await self.connection.hold(self._asking.ranking(user, context, ads, deadline))

    async def rank_ids(
        self, user_ids: np.ndarray, item_ids: np.ndarray, *, deadline: float | None = None
    ) -> np.ndarray:
        """See `Client.rank_ids`."""
        return (await self.connection.hold(self._asking.ranking_of_ids(user_ids, item_ids, deadline))).scores

    async def predict(self, ids: np.ndarray, *, deadline: float | None = None) -> np.ndarray:
        """See `Client.predict`."""
        return (await self.connection.hold(self._asking.predicting(ids, deadline))).scores

    async def remember(self, ads: Iterable[Mapping[str, Any]]) -> int:
        """See `Client.remember`."""
        return (await self.connection.hold(self._asking.opening())).ranker.remember(list(ads))

    async def forget(self, ids: Iterable[Hashable] | None = None) -> None:
        """See `Client.forget`."""
        (await self.connection.hold(self._asking.opening())).ranker.ads.forget(ids)

    async def metadata(self) -> dict[str, Signature]:
        """See `Client.metadata`."""
        return await self.connection.metadata()

    async def status(self) -> list[VersionStatus]:
        """See `Client.status`."""
        return await self.connection.status()

    async def wait_until_available(self, timeout: float = 60.0) -> None:
        """See `Client.wait_until_available`."""
        await self.connection.wait_until_available(timeout)

    async def check_fingerprint(self) -> None:
        """See `Client.check_fingerprint`."""
        await self.connection.hold(self._asking.checking())

    async def close(self) -> None:
        """Close the connection."""
        await self.connection.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
