"""Where the rows of a trained model's tables lie in a model of the same kind over an extended index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError, IndexMismatchError
from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.indexing.ancestor import Ancestor
from ctrkit.indexing.hashing import hash64_many
from ctrkit.layers import FieldEmbeddings


@dataclass(frozen=True, kw_only=True)
class Block:
    """One table within a weight: its `kept` rows from `old` on lie from `new` on, and `added` new rows follow there.

    `like` is the old table's row through which each new row's value was read before, int64 `[added]`.
    """

    old: int
    new: int
    kept: int
    like: np.ndarray

    @property
    def added(self) -> int:
        return len(self.like)


Blocks: TypeAlias = Mapping[int, Sequence[Block]]
"""Of each weight that has grown, by its place in `model.weights`."""


def grown(before: np.ndarray, blocks: Sequence[Block], first: np.ndarray | None = None) -> np.ndarray:
    """A weight, or a slot of one, with its rows moved: `[old rows, …]` to `[new rows, …]`.

    New rows are those that their values were read through before (out of vocabulary), so that no score changes; or
    `first`, one row that is the same for all.
    """
    after = np.empty((sum(block.kept + block.added for block in blocks), *before.shape[1:]), before.dtype)
    for block in blocks:
        end = block.new + block.kept
        after[block.new : end] = before[block.old : block.old + block.kept]
        after[end : end + block.added] = before[block.old + block.like] if first is None else first
    return after


def ancestor_of(index: FeatureIndex, fingerprint: str, where: Path) -> Ancestor:
    """What `index` remembers of the index that a run was trained with; of itself where it is the same.

    Raises `IndexMismatchError` when it is no extension of that one.
    """
    found = index.as_ancestor() if fingerprint == index.fingerprint else index.ancestor(fingerprint)
    if found is None:
        extends = ", ".join(one.fingerprint[:12] for one in index.ancestors[:3]) or "none"
        raise IndexMismatchError(
            f"The weights in {where} were trained with index {fingerprint[:12]}, but index {index.fingerprint[:12]} "
            f"is no extension of it (it extends {extends}): ids would hit unrelated embeddings. Extend that index by "
            "the new log: `ctrkit prepare … data.extend=PATH_OF_INDEX`; or start without training.warm_start."
        )
    return found


def blocks_of(
    model: tf.keras.Model, index: FeatureIndex, ancestor: Ancestor, trained: Sequence[Sequence[Any]], where: Path
) -> dict[int, list[Block]]:
    """The blocks of each weight that has grown, by its place in `model.weights`.

    Args:
        model: built for `index`.
        index: the extended index.
        ancestor: what it remembers of the one that the weights were trained with.
        trained: shape and dtype of each of the trained weights, as a checkpoint's stamp has them.
        where: the trained weights, for messages.
    Raises:
        ArtifactError: they are of another model, or one has grown that is no table.
    """
    if len(trained) != len(model.weights):
        raise _other_model(where, f"{len(trained)} weights there, {len(model.weights)} here")
    known, found = tables_of(model, index), {}
    for place, (weight, (shape, dtype)) in enumerate(zip(model.weights, trained, strict=True)):
        wanted = [list(map(int, weight.shape)), weight.dtype.base_dtype.name]
        if wanted == [list(shape), dtype]:
            continue
        detail = f"weight {place} ({weight.name}) has {[shape, dtype]} there and {wanted} here"
        if wanted[1] != dtype or not shape or shape[1:] != wanted[0][1:]:
            raise _other_model(where, detail)
        tables = known[place] if place in known else _guess(index, ancestor, shape[0], wanted[0][0])
        blocks = list(_blocks(tables, index, ancestor))
        if sum(block.kept for block in blocks) != shape[0]:
            raise _other_model(where, detail)
        found[place] = blocks
    return found


def tables_of(model: tf.keras.Model, index: FeatureIndex) -> dict[int, list[str]]:
    """The tables, by feature, whose rows follow one another in each weight of a `FieldEmbeddings`, by its place."""
    places = {id(weight): place for place, weight in enumerate(model.weights)}
    found = {}
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, FieldEmbeddings) and layer.built:
            fields = (*layer.layout.user, *layer.layout.item)
            offsets = {one.offset: index[one.name].table for one in fields}
            found[places[id(layer.table)]] = [offsets[offset] for offset in sorted(offsets)]
    return found


def _other_model(where: Path, detail: str) -> ArtifactError:
    return ArtifactError(
        f"The weights in {where} cannot be carried over: {detail}, and no table of the index grew like this. Build the "
        "model with the options that the run was trained with; rows of a layer of your own are found where it is a "
        "FieldEmbeddings, or has as many rows as one feature."
    )


def _guess(index: FeatureIndex, ancestor: Ancestor, before: int, now: int) -> list[str]:
    """Tables that a weight of so many rows may hold: those of all fields, or of one."""
    tables = list(dict.fromkeys(field.table for field in index.fields))
    rows = {name: index[name].rows for name in tables}
    if (sum(ancestor.rows[name] for name in tables), sum(rows.values())) == (before, now):
        return tables
    return [name for name in tables if (ancestor.rows[name], rows[name]) == (before, now)][:1]


def _blocks(tables: Sequence[str], index: FeatureIndex, ancestor: Ancestor) -> Iterator[Block]:
    old = new = 0
    for name in tables:
        kept = ancestor.rows[name]
        block = Block(old=old, new=new, kept=kept, like=_read_through(index, name, kept))
        yield block
        old, new = old + kept, new + kept + block.added


def _read_through(index: FeatureIndex, table: str, kept: int) -> np.ndarray:
    """The out-of-vocabulary rows that the values of a table's rows from `kept` on had before."""
    field = index[table]
    count = field.rows - kept
    if field.oov == 1 or count == 0:
        return np.full(count, OOV_ROW, dtype=np.int64)
    vocabulary = index.vocabularies[table]
    first = kept - 1 - field.oov
    hashes = hash64_many(vocabulary.value(first + rank) for rank in range(count))
    return (OOV_ROW + hashes % np.uint64(field.oov)).astype(np.int64)
