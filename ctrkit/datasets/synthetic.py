"""A synthetic ad log of any size, streamed to disk, whose best reachable AUC is known."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from ctrkit.atomic import atomic_file, write_json
from ctrkit.datasets.click_history import EMPTY, ClickHistory
from ctrkit.datasets.log_file import format_of, log_writer
from ctrkit.datasets.sources import built_log
from ctrkit.datasets.synthetic_drift import Drift
from ctrkit.datasets.synthetic_world import DEVICES, PERSONAS, SLOTS, TRAFFIC, Draws, World
from ctrkit.datasets.truth import STEPS, TRUTH_FILE, Truth, TruthCounter
from ctrkit.errors import ConfigError
from ctrkit.progress import progress
from ctrkit.schema import Categorical, Cross, Label, LogFormat, Numeric, Schema, Sequence

BLOCK_ROWS = 1 << 16  # Rows drawn from one seed: the same log comes out however it is written.
START = 1_704_067_200  # 2024-01-01 00:00 UTC, a Monday; seconds since 1970.
DAY = 86_400  # Seconds.
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
GENDERS = ("m", "f", None)


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """Size and shape of the log; the same options give the same bytes."""

    rows: int = 300_000  # Impressions, in the order of time.
    users: int = 3_000
    ads: int = 500
    sites: int = 80
    topics: int = 8  # Every ad has one; tastes and sites' affinities are about topics.
    history: int = 10  # Clicked ads kept per user.
    click_rate: float = 0.15  # Expected share of clicks.
    days: float = 7.0  # Time that the log covers.
    drift: float = 0.0  # 0: nothing changes with time; 1: at the end tastes and qualities are others. See `Drift`.
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("users", 1), ("ads", 1), ("sites", 1), ("topics", 1), ("history", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"SyntheticOptions: `{name}` is {value!r}, expected an integer >= {least}.")
        if not 0 < self.click_rate < 1:
            raise ConfigError(f"SyntheticOptions: `click_rate` is {self.click_rate!r}, expected a share such as 0.15.")
        if not self.days > 0:
            raise ConfigError(f"SyntheticOptions: `days` is {self.days!r}, expected a positive number of days.")
        if not 0 <= self.drift <= 1:
            raise ConfigError(f"SyntheticOptions: `drift` is {self.drift!r}, expected a number from 0 to 1.")
        if self.seed < 0:
            raise ConfigError(f"SyntheticOptions: `seed` is {self.seed!r}, expected an integer >= 0.")


class SyntheticLog:
    """Impressions of ads: users, ads and sites with heavy-tailed frequencies, tastes, hours and click histories.

    A row's click is drawn from its true probability, which no column tells: it is the sigmoid of a sum of the user's
    taste for the ad's topic, the ad's quality and price, the site's level and affinity for the topic, the device's
    hour, the slot and the user's activity. `clicked_ads` and `clicked_topics` are the user's latest clicks strictly
    before the row.
    """

    def __init__(self, options: SyntheticOptions | None = None) -> None:
        self.options = SyntheticOptions() if options is None else options
        o = self.options
        self._world = World(users=o.users, ads=o.ads, sites=o.sites, topics=o.topics, seed=o.seed)
        self._drift = Drift(self._world, o.drift, o.seed) if o.drift > 0 else None
        self._intercept = self._find_intercept()
        self._names = {
            "segment": _names("segment", PERSONAS),
            "user": _names("u", o.users),
            "ad": _names("ad", o.ads),
            "site": _names("site", o.sites),
            "topic": _names("topic", o.topics),
            "advertiser": _names("brand", int(self._world.advertiser.max()) + 1),
        }

    def schema(self, log_format: str = "csv") -> Schema:
        """What the log means, for a log written as `csv`, `tsv` or `parquet`."""
        length = self.options.history
        return Schema(
            format=LogFormat(kind=log_format),
            label=Label(column="clicked"),
            group="user_id",
            time="time",
            features=(
                Categorical(name="user_id", side="user"),
                Numeric(name="age", side="user", quantiles=16),
                Categorical(name="gender", side="user"),
                Categorical(name="segment", side="user"),
                Sequence(name="clicked_ads", side="user", of="ad_id", max_length=length),
                Sequence(name="clicked_topics", side="user", of="topic", max_length=length),
                Categorical(name="site", side="context"),
                Categorical(name="device", side="context"),
                Categorical(name="hour", side="context"),
                Categorical(name="weekday", side="context"),
                Categorical(name="slot", side="context"),
                Cross(name="device_hour", side="context", of=("device", "hour")),
                Categorical(name="ad_id"),
                Categorical(name="advertiser"),
                Categorical(name="topic"),
                Numeric(name="price", quantiles=16),
                Cross(name="segment_topic", of=("segment", "topic")),
                Cross(name="site_topic", of=("site", "topic"), min_count=20),
            ),
        )

    def write(self, path: str | os.PathLike[str]) -> Truth:
        """Write the log to `path` (.csv, .tsv, either with .gz, or .parquet) and return its truth.

        Rows are in the order of time. Memory holds one block of rows, however many are written.
        """
        path = Path(path)
        format_of(path)
        counter = TruthCounter(self.options.rows)
        with (
            atomic_file(path) as temporary,
            log_writer(path, temporary) as append,
            progress(f"Making {path.name}", total=self.options.rows) as shown,
        ):
            for first, frame, steps in self._blocks():
                counter.add(first, steps, frame["clicked"].to_numpy().astype(bool))
                append(frame)
                shown.advance(len(frame))
        return counter.truth()

    def frames(self) -> Iterator[pl.DataFrame]:
        """The log in blocks of at most 65,536 rows."""
        for _, frame, _ in self._blocks():
            yield frame

    def probabilities(self) -> np.ndarray:
        """The true click probability of every row, float64 `[rows]`, in the order of the log."""
        return np.concatenate([steps / STEPS for _, _, steps in self._blocks()])

    # --- blocks -------------------------------------------------------------------------------------------------

    def _blocks(self) -> Iterator[tuple[int, pl.DataFrame, np.ndarray]]:
        o = self.options
        rng = np.random.default_rng([o.seed, 1])
        first_history = self._world.first_history(o.history, rng)
        history = ClickHistory(first_history if self._drift is None else self._drift.first(first_history))
        for block, first in enumerate(range(0, o.rows, BLOCK_ROWS)):
            n = min(BLOCK_ROWS, o.rows - first)
            rng = np.random.default_rng([o.seed, 2, block])
            seconds = self._seconds(first, n)
            draws = self._world.draw(n, rng)
            at = (np.arange(first, first + n) + 0.5) / o.rows
            draws = draws if self._drift is None else self._drift.present(draws, at)
            steps = self._steps(draws, seconds, at)
            clicked = rng.integers(0, STEPS, n) < steps
            clicks = history.advance(draws.users, draws.ads, clicked)
            yield first, self._frame(draws, seconds, clicked, clicks), steps

    def _seconds(self, first: int, n: int) -> np.ndarray:
        """Seconds since `START`, int64 `[n]`, never falling, following the day's traffic."""
        at = (np.arange(first, first + n) + 0.5) / self.options.rows * self.options.days
        ends = np.concatenate([[0.0], np.cumsum(TRAFFIC / TRAFFIC.sum())])
        within = np.interp(at % 1.0, ends, np.linspace(0, DAY, len(ends)))
        return (np.floor(at) * DAY + within).astype(np.int64)

    def _steps(self, draws: Draws, seconds: np.ndarray, at: np.ndarray) -> np.ndarray:
        logits = self._world.logits(draws, seconds % DAY // 3600) + self._intercept
        if self._drift is not None:
            logits = logits + self._drift.logits(draws, at)
        return np.clip(np.rint(STEPS / (1 + np.exp(-logits))), 1, STEPS - 1).astype(np.int64)

    def _find_intercept(self) -> float:
        """The constant in the log-odds that gives the wished click rate, found on a block of its own."""
        rng = np.random.default_rng([self.options.seed, 3])
        draws = self._world.draw(BLOCK_ROWS, rng)
        hours = rng.choice(len(TRAFFIC), BLOCK_ROWS, p=TRAFFIC / TRAFFIC.sum())
        logits = self._world.logits(draws, hours)
        low, high = -30.0, 30.0
        for _ in range(50):
            middle = (low + high) / 2
            too_high = np.mean(1 / (1 + np.exp(-(logits + middle)))) > self.options.click_rate
            low, high = (low, middle) if too_high else (middle, high)
        return (low + high) / 2

    def _frame(self, draws: Draws, seconds: np.ndarray, clicked: np.ndarray, clicks: np.ndarray) -> pl.DataFrame:
        world, names = self._world, self._names
        topic_of = np.append(world.topic, EMPTY)  # An empty place is code -1, the last entry.
        days = seconds // DAY
        return pl.DataFrame(
            {
                "time": START + seconds,
                "user_id": names["user"].gather(draws.users),
                "age": pl.Series(world.age).replace(-1, None).gather(draws.users),
                "gender": pl.Series(GENDERS).gather(world.gender[draws.users]),
                "segment": names["segment"].gather(world.segment[draws.users]),
                "clicked_ads": _lists(names["ad"], clicks),
                "clicked_topics": _lists(names["topic"], topic_of[clicks]),
                "site": names["site"].gather(draws.sites),
                "device": pl.Series(DEVICES).gather(draws.devices),
                "hour": seconds % DAY // 3600,
                "weekday": pl.Series(WEEKDAYS).gather(days % 7),
                "slot": pl.Series(SLOTS).gather(draws.slots),
                "ad_id": names["ad"].gather(draws.ads),
                "advertiser": names["advertiser"].gather(world.advertiser[draws.ads]),
                "topic": names["topic"].gather(world.topic[draws.ads]),
                "price": world.price[draws.ads],
                "clicked": clicked.astype(np.int8),
            }
        )


def build(
    *, out: str | os.PathLike[str], rows: int = 300_000, seed: int = 0, file_name: str = "log.csv", **options: float
) -> Path:
    """Make a synthetic log in the folder `out`, with its truth beside it, unless the same one is there already.

    `options` are further ones of `SyntheticOptions`. Returns the log's path; `truth_of(path)` reads its best AUC.
    Raises `ConfigError` that names an option that does not exist or cannot be.
    """
    try:
        wished = SyntheticOptions(rows=rows, seed=seed, **options)  # type: ignore[arg-type]
    except TypeError as error:
        raise ConfigError(
            f"Synthetic log: {error}. Valid: {', '.join(SyntheticOptions.__dataclass_fields__)}."
        ) from None
    format_of(Path(file_name))

    def write(folder: Path) -> None:
        truth = SyntheticLog(wished).write(folder / file_name)
        write_json(folder / TRUTH_FILE, truth.to_dict())

    return built_log("synthetic", out, file_name=file_name, options=asdict(wished), sources=(), write=write)


def _names(prefix: str, n: int) -> pl.Series:
    """Names of `n` codes; one more place at the end holds null, for code -1."""
    digits = max(1, math.ceil(math.log10(max(n, 2))))
    return pl.Series([f"{prefix}{code:0{digits}d}" for code in range(n)] + [None])


def _lists(names: pl.Series, codes: np.ndarray) -> pl.Series:
    """Lists of names, oldest first; `codes` is int `[n, length]`, empty places (-1) are left out."""
    n, length = codes.shape
    flat = np.where(codes == EMPTY, len(names) - 1, codes).ravel()
    series = names.gather(flat).reshape((n, length)).arr.to_list()
    return series.list.drop_nulls() if (codes == EMPTY).any() else series
