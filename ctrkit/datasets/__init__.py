"""Find a click log: builders for public data sets, and synthetic logs whose best reachable AUC is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "SyntheticLog",
    "SyntheticOptions",
    "Truth",
    "build_adult",
    "build_criteo",
    "build_frappe",
    "build_movielens",
    "build_synthetic",
    "criteo_shaped",
    "truth_of",
]

if TYPE_CHECKING:
    from ctrkit.datasets.adult import build as build_adult
    from ctrkit.datasets.criteo import build as build_criteo
    from ctrkit.datasets.criteo_shape import criteo_shaped
    from ctrkit.datasets.frappe import build as build_frappe
    from ctrkit.datasets.movielens import build as build_movielens
    from ctrkit.datasets.synthetic import SyntheticLog, SyntheticOptions
    from ctrkit.datasets.synthetic import build as build_synthetic
    from ctrkit.datasets.truth import Truth, truth_of
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "adult": ["build as build_adult"],
            "criteo": ["build as build_criteo"],
            "criteo_shape": ["criteo_shaped"],
            "frappe": ["build as build_frappe"],
            "movielens": ["build as build_movielens"],
            "synthetic": ["SyntheticLog", "SyntheticOptions", "build as build_synthetic"],
            "truth": ["Truth", "truth_of"],
        },
    )
