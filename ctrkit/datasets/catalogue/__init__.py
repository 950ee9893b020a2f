"""The catalogue of public click logs: plain facts, which import nothing heavy."""

from __future__ import annotations

from ctrkit.datasets.catalogue.adult import ADULT
from ctrkit.datasets.catalogue.avazu import AVAZU
from ctrkit.datasets.catalogue.criteo import CRITEO
from ctrkit.datasets.catalogue.entry import Archive, Entry, SourceFile
from ctrkit.datasets.catalogue.frappe import FRAPPE
from ctrkit.datasets.catalogue.kdd12 import KDD12
from ctrkit.datasets.catalogue.mind import MIND
from ctrkit.datasets.catalogue.movielens import MOVIELENS, MOVIELENS_20M, MOVIELENS_100K
from ctrkit.datasets.catalogue.open_bandit import OPEN_BANDIT
from ctrkit.datasets.catalogue.synthetic import SYNTHETIC
from ctrkit.datasets.catalogue.taobao import TAOBAO
from ctrkit.errors import ConfigError, did_you_mean

__all__ = [
    "ADULT",
    "AVAZU",
    "CATALOGUE",
    "CRITEO",
    "FRAPPE",
    "KDD12",
    "MIND",
    "MOVIELENS",
    "MOVIELENS_20M",
    "MOVIELENS_100K",
    "OPEN_BANDIT",
    "SYNTHETIC",
    "TAOBAO",
    "Archive",
    "Entry",
    "SourceFile",
    "entry_of",
]

_ALL = (
    *(ADULT, AVAZU, CRITEO, FRAPPE, KDD12, MIND, MOVIELENS, MOVIELENS_100K, MOVIELENS_20M, OPEN_BANDIT),
    *(SYNTHETIC, TAOBAO),
)
CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ALL}


def entry_of(name: str) -> Entry:
    """The data set called `name`; `ConfigError` with the nearest name where there is none."""
    if name not in CATALOGUE:
        raise ConfigError(f"No data set {name!r} in the catalogue.{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]
