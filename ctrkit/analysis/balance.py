"""How evenly a load lies on servers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.errors import ShapeError


@dataclass(frozen=True, kw_only=True)
class Balance:
    """The loads of some servers, and how far the heaviest is from the mean."""

    loads: np.ndarray  # float64 [servers], heaviest first.

    @property
    def mean(self) -> float:
        """The load of each server if all had the same."""
        return float(self.loads.mean())

    @property
    def largest_over_mean(self) -> float:
        """1 is perfect, the number of servers is the worst there is; 1 too where there is no load at all."""
        return float(self.loads[0] / self.mean) if self.mean > 0 else 1.0

    @property
    def idle(self) -> int:
        """Servers without any load."""
        return int((self.loads == 0).sum())


def balance(loads: ArrayLike) -> Balance:
    """Describe the loads of servers.

    Raises `ShapeError` unless `loads` is a list of at least one finite number, none below 0.
    """
    array = np.asarray(loads, dtype=np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all() or (array < 0).any():
        raise ShapeError(f"Loads of servers: got {loads!r}, expected one number >= 0 for each server, e.g. [3.0, 2.5].")
    return Balance(loads=np.sort(array)[::-1])
