"""Rank candidates from raw values, by threads or by asyncio, without TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = ["AsyncClient", "Client", "ClientTls", "ConnectionOptions", "Hedging", "Ranking", "load_index"]

if TYPE_CHECKING:
    from ctrkit.serving.client.asynchronous import AsyncClient
    from ctrkit.serving.client.blocking import Client
    from ctrkit.serving.client.options import ClientTls, ConnectionOptions, Hedging
    from ctrkit.serving.client.ranker import load_index
    from ctrkit.serving.client.ranking import Ranking
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "asynchronous": ["AsyncClient"],
            "blocking": ["Client"],
            "options": ["ClientTls", "ConnectionOptions", "Hedging"],
            "ranker": ["load_index"],
            "ranking": ["Ranking"],
        },
    )
