"""Guess whose attribute a column is: the user's, the context's or the item's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ctrkit.schema import Side
from ctrkit.sketching.facts import Facts
from ctrkit.sketching.names import DEVICE, ITEM, OF_CONTEXT, OF_USER, USER, is_identifier, speaks_of, words_of

UNKNOWN = "whose?"
_ALWAYS = 0.995  # Share of an owner's rows with the owner's usual value, from which on it belongs to the owner.
FEWEST_PERSONS = 20  # Distinct values of a column that names persons.
_LEAST_ROWS = 500  # Of owners that come up more than once, to tell by.


@dataclass(frozen=True, kw_only=True)
class Owners:
    """The columns that say who sees what; None where the log does not tell."""

    user: Facts | None
    item: Facts | None

    def side_of(self, facts: Facts) -> tuple[Side, str]:
        """Whose attribute it is, and how that was seen; empty where its name says so."""
        if self.user is not None and facts.name == self.user.name:
            return "user", "who sees it"
        if self.item is not None and facts.name == self.item.name:
            return "item", "what is shown"
        if speaks_of(facts.name, USER):
            return "user", ""
        if not facts.is_list:
            for owner, side in ((self.user, "user"), (self.item, "item")):
                if owner is not None and belongs_to(facts, owner):
                    return side, f"each {owner.name} has its own"  # type: ignore[return-value]
        if speaks_of(facts.name, OF_USER):
            return "user", ""
        if speaks_of(facts.name, ITEM):
            return "item", ""
        if speaks_of(facts.name, OF_CONTEXT):
            return "context", ""
        return "item", UNKNOWN


def belongs_to(facts: Facts, owner: Facts) -> bool:
    """Whether rows of one owner have one value, and rows of others have others."""
    owners, codes = owner.codes, facts.codes
    rows = np.bincount(owners)[owners] > 1
    if rows.sum() < _LEAST_ROWS or facts.distinct < 2:
        return False
    owners, codes = owners[rows], codes[rows]
    values = codes.max() + 1
    pairs, counts = np.unique(owners * values + codes, return_counts=True)
    usual = np.zeros(owners.max() + 1, dtype=np.int64)
    np.maximum.at(usual, pairs // values, counts)
    share = usual.sum() / len(owners)
    by_chance = np.bincount(codes).max() / len(codes)
    return bool(share >= _ALWAYS and by_chance < _ALWAYS - 0.05)


def find_owners(columns: Sequence[Facts], group: str | None) -> Owners:
    """The user is the group; the item is the column whose name says so."""
    user = next((facts for facts in columns if facts.name == group), None)
    items = [f for f in columns if speaks_of(f.name, ITEM) and not f.is_list and f is not user]
    sure = [f for f in items if is_identifier(f.name) or len(words_of(f.name)) == 1]
    return Owners(user=user, item=max(sure, key=lambda f: (is_identifier(f.name), f.distinct), default=None))


def find_group(columns: Sequence[Facts]) -> Facts | None:
    """The column that names a person, or a device where none does; each must come up more than once."""
    for words in (USER, DEVICE):
        named = [
            facts
            for facts in columns
            if speaks_of(facts.name, words)
            and not facts.is_list
            and (is_identifier(facts.name) or len(words_of(facts.name)) == 1)
            and facts.distinct > FEWEST_PERSONS
            and facts.shared_by >= 2
        ]
        if named:
            return max(named, key=lambda facts: (is_identifier(facts.name), facts.distinct))
    return None
