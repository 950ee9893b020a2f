"""Rank candidates from raw values, by threads or by asyncio, without TensorFlow."""

from ctrkit.serving.client.asynchronous import AsyncClient
from ctrkit.serving.client.blocking import Client
from ctrkit.serving.client.ranker import load_index
from ctrkit.serving.client.ranking import Ranking
from ctrkit.serving.connection.options import ClientTls, ConnectionOptions, Hedging

__all__ = ["AsyncClient", "Client", "ClientTls", "ConnectionOptions", "Hedging", "Ranking", "load_index"]
