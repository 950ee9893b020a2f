"""Find a click log: builders for public data sets, and synthetic logs whose best reachable AUC is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "CATALOGUE",
    "SyntheticLog",
    "SyntheticOptions",
    "Truth",
    "build_adult",
    "build_avazu",
    "build_criteo",
    "build_frappe",
    "build_kdd12",
    "build_mind",
    "build_movielens",
    "build_movielens_20m",
    "build_movielens_100k",
    "build_open_bandit",
    "build_synthetic",
    "build_taobao",
    "criteo_shaped",
    "truth_of",
]

if TYPE_CHECKING:
    from ctrkit.datasets.adult import build as build_adult
    from ctrkit.datasets.avazu import build as build_avazu
    from ctrkit.datasets.catalogue import CATALOGUE
    from ctrkit.datasets.criteo import build as build_criteo
    from ctrkit.datasets.criteo_shape import criteo_shaped
    from ctrkit.datasets.frappe import build as build_frappe
    from ctrkit.datasets.kdd12 import build as build_kdd12
    from ctrkit.datasets.mind import build as build_mind
    from ctrkit.datasets.movielens import build as build_movielens
    from ctrkit.datasets.movielens_20m import build as build_movielens_20m
    from ctrkit.datasets.movielens_100k import build as build_movielens_100k
    from ctrkit.datasets.open_bandit import build as build_open_bandit
    from ctrkit.datasets.synthetic import SyntheticLog, SyntheticOptions
    from ctrkit.datasets.synthetic import build as build_synthetic
    from ctrkit.datasets.taobao import build as build_taobao
    from ctrkit.datasets.truth import Truth, truth_of
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "catalogue": ["CATALOGUE"],
            "taobao": ["build as build_taobao"],
            "open_bandit": ["build as build_open_bandit"],
            "movielens_20m": ["build as build_movielens_20m"],
            "movielens_100k": ["build as build_movielens_100k"],
            "mind": ["build as build_mind"],
            "kdd12": ["build as build_kdd12"],
            "avazu": ["build as build_avazu"],
            "adult": ["build as build_adult"],
            "criteo": ["build as build_criteo"],
            "criteo_shape": ["criteo_shaped"],
            "frappe": ["build as build_frappe"],
            "movielens": ["build as build_movielens"],
            "synthetic": ["SyntheticLog", "SyntheticOptions", "build as build_synthetic"],
            "truth": ["Truth", "truth_of"],
        },
    )
