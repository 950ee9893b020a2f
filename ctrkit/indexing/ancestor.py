"""What an extended index remembers of each index that it extends: enough to move a trained model's rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """An index that was extended: `rows` has the number of rows of each of its tables, by feature.

    Row r of a table means the same in the extended index; rows from there on are new.
    """

    fingerprint: str
    rows: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {"fingerprint": self.fingerprint, "rows": dict(self.rows)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Ancestor:
        """Read what `to_dict` wrote. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        return cls(
            fingerprint=str(raw["fingerprint"]), rows={str(name): int(rows) for name, rows in raw["rows"].items()}
        )
