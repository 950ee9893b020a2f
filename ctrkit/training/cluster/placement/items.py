"""From the weights of a model and the counts of a feature index to what placement deals: sizes and traffic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ctrkit.training.cluster.placement.shard import Item
from ctrkit.training.cluster.placement.traffic import (
    ID_BYTES,
    VALUE_BYTES,
    RowReads,
    counted_reads,
    one_after_another,
    uniform_reads,
)

if TYPE_CHECKING:
    from ctrkit.indexing import FeatureIndex

SLOTS: dict[str, int] = {"adagrad": 1, "adam": 2, "ftrl": 2, "lazy_adam": 2, "rmsprop": 1, "sgd": 0}


@dataclass(frozen=True, kw_only=True)
class WeightShape:
    """What placement has to know of one weight of a Keras model."""

    name: str
    shape: tuple[int, ...]
    is_table: bool
    splittable: bool | None = None  # By rows. None: tables are, others are not.
    trainable: bool = True  # False: it is read alone, and no optimizer keeps anything of it.
    fields: tuple[str, ...] | None = None  # Whose rows a table holds, in the order of `ids`. None: see `items_of`.


def items_of(
    weights: Sequence[WeightShape | tuple[str, tuple[int, ...], bool]],
    index: FeatureIndex,
    *,
    batch_size: int,
    table_slots: int,
    dense_slots: int,
) -> list[Item]:
    """Return the variables to place, in the order of `weights`.

    A batch asks for each distinct row of a table once, so a step moves, for every expected distinct row, its id out and
    again with the gradient, the row back and the gradient out. A dense variable is read whole, its gradient sent whole.
    How often a row is drawn is known from the vocabulary's counts; the rows of hashed and numeric features are taken as
    equally likely, and each place of a sequence as drawn like the feature that it shares its rows with.

    Args:
        weights: of the model, in the order of `model.weights`. A table that does not say whose rows it holds is taken
            for one of all fields if it has as many rows, else for one of the field that has, else for one of which a
            batch draws one row an impression, all equally likely.
        index: the feature index.
        batch_size: impressions a step and worker.
        table_slots, dense_slots: variables of the optimizer for each table and for each other weight; see `slots_of`.
    """
    tables = _TableReads(index, batch_size)
    items = []
    for number, weight in enumerate(weights):
        one = (
            weight
            if isinstance(weight, WeightShape)
            else WeightShape(name=weight[0], shape=weight[1], is_table=weight[2])
        )
        rows, width = (one.shape[0], math.prod(one.shape[1:])) if one.shape else (1, 1)
        slots = 0 if not one.trainable else table_slots if one.is_table else dense_slots
        reads = tables.of(one) if one.is_table else None
        ways, row = 2 if one.trainable else 1, VALUE_BYTES * width  # There, and back as a gradient.
        items.append(
            Item(
                name=one.name.removesuffix(":0"),
                weight=number,
                rows=rows,
                row_bytes=row * (1 + slots),
                slots=slots,
                traffic=float(ways * (rows * row if reads is None else reads.total * (ID_BYTES + row))),
                splittable=one.is_table if one.splittable is None else one.splittable,
                reads=reads,
            )
        )
    return items


def slots_of(optimizer: str, options: Mapping[str, Any] | None = None) -> int:
    """Variables that an optimizer of `TrainingOptions` keeps beside each weight, each of the weight's size."""
    chosen = dict(options or {})
    more = sum(bool(chosen.get(name)) for name in ("momentum", "centered")) if optimizer in ("sgd", "rmsprop") else 0
    return SLOTS.get(optimizer, 0) + more + bool(optimizer == "adam" and chosen.get("amsgrad"))


class _TableReads:
    """Expected distinct rows of a batch, table by table; tables of the same fields share them."""

    def __init__(self, index: FeatureIndex, batch_size: int) -> None:
        self._index, self._batch_size = index, batch_size
        self._found: dict[tuple[str, ...], RowReads] = {}
        self._by_table: dict[str, RowReads] = {}

    def of(self, weight: WeightShape) -> RowReads:
        fields = weight.fields if weight.fields is not None else self._guess(weight.shape[0])
        if not fields:
            return uniform_reads(weight.shape[0], self._batch_size)
        if fields not in self._found:
            tables = dict.fromkeys(self._index[name].table for name in fields)
            self._found[fields] = one_after_another(self._of_table(table, fields) for table in tables)
        reads = self._found[fields]
        if reads.rows != weight.shape[0]:  # Each field may have rows of its own.
            reads = one_after_another(self._of_table(self._index[name].table, [name]) for name in fields)
        return reads if reads.rows == weight.shape[0] else uniform_reads(weight.shape[0], self._batch_size)

    def _guess(self, rows: int) -> tuple[str, ...]:
        fields = self._index.fields
        if sum(field.rows for field in fields if field.table == field.name) == rows:
            return tuple(field.name for field in fields)
        return next(((field.name,) for field in fields if field.rows == rows), ())

    def _of_table(self, table: str, fields: Iterable[str]) -> RowReads:
        """The reads of one feature's rows by all of `fields` that look them up."""
        index = self._index
        readers = [index[name] for name in fields if index[name].table == table]
        draws = float(self._batch_size * sum(field.length for field in readers))
        rows = readers[0].rows
        vocabulary = index.vocabularies.get(table)
        if vocabulary is None or not len(vocabulary):
            return uniform_reads(rows, draws)
        seen = index.statistics.get("features", {}).get(table, {})
        first = np.zeros(rows - len(vocabulary))
        first[0] = seen.get("missing", 0)
        first[1:] = seen.get("out_of_vocabulary", 0) / max(len(first) - 1, 1)
        known = float(np.sum(vocabulary.counts, dtype=np.float64))
        impressions = max(float(index.statistics.get("train_rows", 0)), known + float(first.sum()))
        return counted_reads(first, vocabulary.counts, impressions=impressions, draws=draws)
