"""The options of a connection, for those who know clients alone."""

from ctrkit.serving.connection.options import ClientTls, ConnectionOptions, Hedging

__all__ = ["ClientTls", "ConnectionOptions", "Hedging"]
