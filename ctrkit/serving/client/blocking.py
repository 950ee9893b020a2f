"""Rank candidates from raw values: index them with the model's own index, send rows, get click probabilities back."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ctrkit.serving.client.ads import Ad
from ctrkit.serving.client.opened import Opened

if TYPE_CHECKING:
    import numpy as np

    from ctrkit.indexing import FeatureIndex
    from ctrkit.serving.client.ranking import Ranking
    from ctrkit.serving.connection.blocking import Connection
    from ctrkit.serving.connection.messages import VersionStatus
    from ctrkit.serving.signatures import Signature


class Client(Opened):
    """Scores from a server; safe to share between threads. Needs neither TensorFlow nor the training side of ctrkit.

    >>> with Client("127.0.0.1:8500", ad_key="ad_id") as client:  # doctest: +SKIP
    ...     scores = client.rank({"user_id": "u1"}, {"hour": 9}, [{"ad_id": "a"}, {"ad_id": "b"}])
    """

    connection: Connection

    def _connected(self, *where: Any, **how: Any) -> Connection:
        from ctrkit.serving.connection.blocking import Connection  # See `Opened`.

        return Connection(*where, **how)

    @property
    def index(self) -> FeatureIndex:
        """The feature index; fetched when it was not yet."""
        return self.connection.hold(self._asking.opening()).ranker.index

    def rank(
        self,
        user: Mapping[str, Any],
        context: Mapping[str, Any],
        ads: Sequence[Ad],
        *,
        deadline: float | None = None,
    ) -> np.ndarray:
        """Click probability of each ad for a user in a context: `float32 [n]`, in the order of `ads`.

        All three hold raw values by the log's column names; an absent column is a missing value. With `ad_key` an ad
        may be its id alone, if it was remembered (or if the items have no other column).

        Raises:
            RequestError: a value or a key that cannot be used, with its name.
            IndexMismatchError: the server's model was trained with another index.
            ServingError: no server there, no such model, or no answer in time.
        """
        return self.ranking(user, context, ads, deadline=deadline).scores

    def ranking(
        self,
        user: Mapping[str, Any],
        context: Mapping[str, Any],
        ads: Sequence[Ad],
        *,
        deadline: float | None = None,
    ) -> Ranking:
        """`rank`, with the version that computed the scores, by whom and how long it took."""
        return self.connection.hold(self._asking.ranking(user, context, ads, deadline))

    def rank_ids(self, user_ids: np.ndarray, item_ids: np.ndarray, *, deadline: float | None = None) -> np.ndarray:
        """`rank` of what is indexed already: `user_ids` int32 `[1, user_width]`, `item_ids` int32 `[n, item_width]`."""
        return self.connection.hold(self._asking.ranking_of_ids(user_ids, item_ids, deadline)).scores

    def predict(self, ids: np.ndarray, *, deadline: float | None = None) -> np.ndarray:
        """Click probability of each row of `ids`, `int32 [n, width]`: `float32 [n]`. Raises as `rank` does."""
        return self.connection.hold(self._asking.predicting(ids, deadline)).scores

    def remember(self, ads: Iterable[Mapping[str, Any]]) -> int:
        """Index ads now and keep them until they are forgotten; returns how many are remembered.

        They may then be named by their ids alone. Raises `RequestError` when they do not fit into `ad_rows`.
        """
        return self.connection.hold(self._asking.opening()).ranker.remember(list(ads))

    def forget(self, ids: Iterable[Hashable] | None = None) -> None:
        """Drop kept ads by id, remembered or not; all when None."""
        self.connection.hold(self._asking.opening()).ranker.ads.forget(ids)

    def metadata(self) -> dict[str, Signature]:
        """The served signatures by name."""
        return self.connection.metadata()

    def status(self) -> list[VersionStatus]:
        """The versions that the server knows, newest first."""
        return self.connection.status()

    def wait_until_available(self, timeout: float = 60.0) -> None:
        """Return when the model is served by every target. Raises `ServingError` after `timeout` seconds."""
        self.connection.wait_until_available(timeout)

    def check_fingerprint(self) -> None:
        """Compare this client's index with that of the served model; done by itself for each version that answers.

        Raises `IndexMismatchError`.
        """
        self.connection.hold(self._asking.checking())

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
