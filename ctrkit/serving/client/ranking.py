"""Scores and where they come from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Ranking:
    """The answer to one request; all scores are of one version."""

    scores: np.ndarray  # float32 [n], in the order of the ads.
    version: int
    targets: tuple[str, ...]  # Who computed them: several where the candidates were split.
    seconds: float  # From the call to the answer, indexing included.

    def best(self, count: int | None = None) -> np.ndarray:
        """Places of the `count` ads (all when None) with the highest scores, best first: int64."""
        order: np.ndarray = np.argsort(-self.scores, kind="stable")
        return order[:count]

    def __len__(self) -> int:
        return len(self.scores)
