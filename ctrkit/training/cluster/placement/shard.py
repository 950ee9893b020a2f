"""A variable as placement sees it, whole or in parts: sizes and traffic, nothing of TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.placement.traffic import RowReads


@dataclass(frozen=True, kw_only=True)
class Item:
    """One variable of the model, before splitting.

    Raises `ConfigError` on sizes that cannot be.
    """

    name: str  # Of the variable, without `:0`.
    weight: int  # Place in `model.weights`, which is the order of creation.
    rows: int  # Length of the first dimension; 1 for a scalar.
    row_bytes: int  # Of one row, with its optimizer slots.
    traffic: float  # Bytes a step and worker, both directions.
    slots: int = 0  # Of the optimizer, each as large as the weight; included in `row_bytes`.
    splittable: bool = False  # By rows.
    reads: RowReads | None = field(default=None, repr=False, compare=False)  # None: traffic is even over rows.

    def __post_init__(self) -> None:
        if self.rows < 1 or self.row_bytes < 0 or not self.traffic >= 0:
            raise ConfigError(
                f"Placement: variable {self.name!r} has {self.rows} rows of {self.row_bytes} bytes and a traffic of "
                f"{self.traffic}; expected at least one row and nothing negative."
            )

    @property
    def bytes(self) -> int:
        """Of the weight and its slots."""
        return self.rows * self.row_bytes

    @property
    def weight_bytes(self) -> int:
        """Of the weight alone."""
        return self.bytes // (1 + self.slots)

    def split(self, parts: int) -> list[Shard]:
        """The `parts` shards of this variable: part `j` holds the rows `r` with `r % parts == j`."""
        if parts == 1:
            return [Shard(item=self, part=0, parts=1, bytes=self.bytes, traffic=self.traffic)]
        rows = [len(range(part, self.rows, parts)) for part in range(parts)]
        if self.reads is None or not self.reads.total > 0:
            shares = [count / self.rows for count in rows]
        else:
            shares = (self.reads.by_part(parts) / self.reads.total).tolist()
        return [
            Shard(item=self, part=part, parts=parts, bytes=rows[part] * self.row_bytes, traffic=self.traffic * share)
            for part, share in enumerate(shares)
        ]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A variable, or one of the parts that it is split into."""

    item: Item
    part: int
    parts: int  # 1: the variable is whole.
    bytes: int  # With optimizer slots.
    traffic: float  # Bytes a step and worker, both directions.

    @property
    def name(self) -> str:
        """Of the variable in the graph that trains."""
        return self.item.name if self.parts == 1 else f"{self.item.name}/part_{self.part}"
