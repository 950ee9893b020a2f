"""How a synthetic ad log changes with time: users and ads that come up later, tastes and qualities that turn."""

from __future__ import annotations

import numpy as np

from ctrkit.datasets.synthetic_world import Draws, World

NEWCOMERS = 0.5  # Share of users, and of ads, that come up during the log, at full drift.


class Drift:
    """The same world at other times.

    At drift 1 the tastes and the ads' qualities are, at the end, unrelated to those at the beginning; half of the users
    and ads have come up meanwhile. Until then another, older one is shown in the place of each.
    """

    def __init__(self, world: World, strength: float, seed: int) -> None:
        rng = np.random.default_rng([seed, 4])
        self._world, self._strength = world, strength
        topics = world.taste.shape[1]
        turned, _ = np.linalg.qr(rng.normal(size=(topics, topics)))
        self._taste = world.taste @ turned  # As strong, and as alike within a persona.
        self._quality = world.quality[rng.permutation(len(world.quality))]
        self._user_since, self._older_user = _newcomers(len(world.taste), strength, rng)
        self._ad_since, self._older_ad = _newcomers(len(world.quality), strength, rng)

    def present(self, draws: Draws, at: np.ndarray) -> Draws:
        """The impressions with who is there at the time: `at` is float `[n]`, from 0 (the beginning) to 1 (the end)."""
        users = np.where(self._user_since[draws.users] > at, self._older_user[draws.users], draws.users)
        ads = np.where(self._ad_since[draws.ads] > at, self._older_ad[draws.ads], draws.ads)
        return Draws(users=users, ads=ads, sites=draws.sites, devices=draws.devices, slots=draws.slots)

    def first(self, history: np.ndarray) -> np.ndarray:
        """Clicks before the log, of ads that were there: int `[users, length]`, -1 where empty."""
        late = (history >= 0) & (self._ad_since[history] > 0)
        return np.where(late, self._older_ad[history], history).astype(history.dtype)

    def logits(self, draws: Draws, at: np.ndarray) -> np.ndarray:
        """What the time adds to the log-odds, float `[n]`."""
        angle = self._strength * np.pi / 2 * at
        topics = self._world.topic[draws.ads]
        now = self._world.taste[draws.users, topics] + self._world.quality[draws.ads]
        later = self._taste[draws.users, topics] + self._quality[draws.ads]
        return (np.cos(angle) - 1) * now + np.sin(angle) * later


def _newcomers(n: int, strength: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """When each comes up, float `[n]` (0: there from the beginning), and an older one for the time before."""
    since = np.where(rng.random(n) < NEWCOMERS * strength, rng.random(n), 0.0)
    since[rng.integers(n)] = 0.0
    return since, rng.choice(np.flatnonzero(since == 0), n)
