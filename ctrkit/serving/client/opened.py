"""How a client is opened, whatever it waits by."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ctrkit.serving.client.ads import ROWS

if TYPE_CHECKING:  # At run time these wait for a client to be opened: numpy, gRPC and Protobuf take .2 seconds.
    from ctrkit.indexing import FeatureIndex
    from ctrkit.serving.connection.conversation import Questions
    from ctrkit.serving.connection.options import ConnectionOptions


class Opened(ABC):
    """A connection, and what is asked through it; `Client` and `AsyncClient` wait for the answers."""

    def __init__(
        self,
        target: str | Sequence[str],
        index: FeatureIndex | str | os.PathLike[str] | None = None,
        model: str = "ctr",
        *,
        deadline: float | None = None,
        version: int | None = None,
        label: str | None = None,
        options: ConnectionOptions | None = None,
        strict: bool = True,
        ad_key: str | None = None,
        ad_version: str | None = None,
        ad_rows: int = ROWS,
        split: int | None = None,
        index_cache: str | os.PathLike[str] | None = None,
    ) -> None:
        """Connect on the first call.

        Args:
            target: "host:port", or several of servers that serve the same model.
            index: the served model's own index, or the path of the SavedModel (or of its index); None fetches it from
                the server, and again when a version with another index takes over.
            model: its name on the server.
            deadline: seconds that a request may take with all its attempts, unless it is given its own; 2 when None.
            version: ask this version rather than the latest.
            label: ask the version with this label, such as "canary".
            options: channels, retries, hedging, TLS.
            strict: refuse keys that are no column of the log (a typo would silently count as a missing value).
            ad_key: the column that names an ad: the rows of its other columns are then kept from request to request.
                An ad whose values have changed is indexed again.
            ad_version: a column that changes whenever an ad does; with it nothing else is compared.
            ad_rows: ads that are kept, those not asked for the longest are given up first.
            split: candidates in one call at most; longer lists are sent in parts side by side. None never splits.
            index_cache: the folder for fetched indexes; None is `~/.cache/ctrkit`.
        """
        from ctrkit.serving.client.asking import Asking  # See above.
        from ctrkit.serving.client.ranker import Ranker

        self.connection = self._connected(
            target, model, deadline=deadline, version=version, label=label, options=options
        )
        ranker = partial(Ranker, strict=strict, ad_key=ad_key, ad_version=ad_version, ad_rows=ad_rows)
        self._asking = Asking(self.connection, index, ranker, split=split, index_cache=index_cache)

    @abstractmethod
    def _connected(self, *where: Any, **how: Any) -> Questions:
        """The connection by which this client waits."""
