"""What the past ratings of a user tell: lists of liked and disliked movies, and shares of likes."""

from __future__ import annotations

import numpy as np
import polars as pl

from ctrkit.datasets.click_history import EMPTY, ClickHistory
from ctrkit.errors import ConfigError

LIKED = 4  # Stars from which a rating counts as a like in the histories; the schema's label says the same.


def check_options(history: int, unseen: float) -> None:
    """Raise `ConfigError` for a `history` below 1 or an `unseen` outside of [0, 1)."""
    if isinstance(history, bool) or not isinstance(history, int) or history < 1:
        raise ConfigError(f"MovieLens: `history` is {history!r}, expected an integer >= 1.")
    if not 0 <= unseen < 1:
        raise ConfigError(f"MovieLens: `unseen` is {unseen!r}, expected a share of each user's rows such as 0.2.")


def with_histories(rows: pl.DataFrame, length: int, unseen: float) -> pl.DataFrame:
    """Ratings of whole users, sorted by user and time, with the columns that `movielens.build` tells of.

    `rows` has `user_id`, `movie_id`, `rating` and the list `genres`; the last share `unseen` of each user's ratings is
    told by no history.
    """
    user = rows["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    movie = rows["movie_id"].to_numpy()
    liked = (rows["rating"] >= LIKED).to_numpy()
    first = np.searchsorted(user, user)  # Rows are sorted by user.
    ratings = np.bincount(user)[user]
    known = ratings - (ratings * unseen + 0.5).astype(np.int64)  # Rounded as a split rounds.
    at = np.minimum(np.arange(len(user)), first + known)  # A row's histories are those before this row.
    empty = np.full((user.max() + 1, length), EMPTY, dtype=np.int32)
    return rows.with_columns(
        _lists("liked_movies", ClickHistory(empty).advance(user, movie, liked)[at]),
        _lists("disliked_movies", ClickHistory(empty).advance(user, movie, ~liked)[at]),
        *_shares(first, at, liked, rows["genres"]),
    )


def _lists(name: str, codes: np.ndarray) -> pl.Series:
    lists = pl.Series(name, codes).cast(pl.List(pl.Int32))
    return lists.list.eval(pl.element().filter(pl.element() != EMPTY))


def _shares(first: np.ndarray, at: np.ndarray, liked: np.ndarray, genres: pl.Series) -> list[pl.Series]:
    earlier = at - first
    likes = np.concatenate([[0], np.cumsum(liked)])
    likes_so_far = likes[at] - likes[first]
    share = (likes_so_far + 3.0) / (earlier + 5.0)
    recent = np.maximum(first, at - 10)
    recent_share = (likes[at] - likes[recent] + 2 * share) / (at - recent + 2.0)
    names = genres.explode().unique().drop_nulls().sort()
    has = np.stack([genres.list.contains(name).fill_null(False).to_numpy() for name in names], axis=1)
    seen = np.vstack([np.zeros((1, len(names)), np.int64), np.cumsum(has, axis=0)])
    good = np.vstack([np.zeros((1, len(names)), np.int64), np.cumsum(has & liked[:, None], axis=0)])
    seen_here = ((seen[at] - seen[first]) * has).sum(axis=1)
    good_here = ((good[at] - good[first]) * has).sum(axis=1)
    genre_share = (good_here + 4 * share) / (seen_here + 4.0)
    return [
        pl.Series("earlier", earlier),
        pl.Series("earlier_likes", np.where(earlier > 0, share, np.nan)).fill_nan(None),
        pl.Series("recent_likes", np.where(earlier > 0, recent_share, np.nan)).fill_nan(None),
        pl.Series("genre_likes", np.where(earlier > 0, genre_share, np.nan)).fill_nan(None),
    ]
