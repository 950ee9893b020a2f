"""Name what a checkpoint holds by the place of each weight in its model, however it is cut and wherever it lies."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError

GLOBAL_STEP = "global_step"
_NAME = re.compile(r"(?:weights/(?P<weight>\d+)|slots/(?P<of>\d+)/(?P<slot>.+?))(?:/part_(?P<part>\d+))?\Z")


@dataclass(frozen=True)
class LogicalName:
    """A weight, or an optimizer's slot of one, or a part of either: `weights/3`, `slots/3/accumulator/part_0`."""

    weight: int  # Place in `model.weights` of the whole model.
    slot: str | None = None
    part: int | None = None  # None: whole.

    def __str__(self) -> str:
        stem = f"weights/{self.weight}" if self.slot is None else f"slots/{self.weight}/{self.slot}"
        return stem if self.part is None else f"{stem}/part_{self.part}"

    @classmethod
    def parse(cls, text: str) -> LogicalName | None:
        """Read a name back; None for what belongs to no weight."""
        match = _NAME.match(text)
        if match is None:
            return None
        part = None if match["part"] is None else int(match["part"])
        return cls(int(match["weight"] or match["of"]), match["slot"], part)

    def pieces(self, parts: int) -> list[LogicalName]:
        """The names of its parts; itself where it stays whole."""
        return [replace(self, part=None if parts == 1 else part) for part in range(parts)]


def logical_variables(
    weights: Sequence[Sequence[tf.Variable]], optimizer: Any, global_step: tf.Variable
) -> dict[str, tf.Variable]:
    """Name everything that a training graph has to remember, as `tf.compat.v1.train.Saver` takes it.

    Args:
        weights: for each weight of the model the variables that it consists of, as `logical_weights` gives them.
        optimizer: a legacy Keras optimizer that was applied in the graph; it may hand variables on to others that are
            attributes of it.
        global_step: which is also the optimizer's count of steps.
    """
    named: dict[str, tf.Variable] = {GLOBAL_STEP: global_step}
    for place, parts in enumerate(weights):
        for part, variable in enumerate(parts):
            name = LogicalName(place, part=None if len(parts) == 1 else part)
            named[str(name)] = variable
            for slot, kept in slots_of(optimizer, variable):
                named[str(replace(name, slot=slot))] = kept
    known = {id(variable) for variable in named.values()}
    others = [variable for variable in optimizer.variables() if id(variable) not in known]
    return named | {f"optimizer/{number}": variable for number, variable in enumerate(others)}


def read_whole(reader: Any, name: LogicalName, parts: int) -> np.ndarray:
    """Read a tensor of a checkpoint, put together from its parts.

    Args:
        reader: of `tf.train.load_checkpoint`.
        name: of the whole.
        parts: how many it was cut into.
    Raises:
        ArtifactError: it is not there.
    """
    shapes = reader.get_variable_to_shape_map()
    names = [str(piece) for piece in name.pieces(parts)]
    for missing in (piece for piece in names if piece not in shapes):
        raise ArtifactError(f"The checkpoint does not hold {missing}: its stamp does not fit its files. Train again.")
    weight = replace(name, slot=None).pieces(parts)[0]
    if parts == 1 or not is_by_row(shapes[names[0]], shapes[str(weight)]):
        return np.asarray(reader.get_tensor(names[0]))
    rows = sum(shapes[piece][0] for piece in names)
    whole = np.empty((rows, *shapes[names[0]][1:]), reader.get_variable_to_dtype_map()[names[0]].as_numpy_dtype)
    for part, piece in enumerate(names):
        whole[part::parts] = reader.get_tensor(piece)
    return whole


def is_by_row(shape: Sequence[int], weight: Sequence[int]) -> bool:
    """Whether a tensor goes with the rows of its weight, as nearly all slots do; another is the same for each part."""
    return list(shape[:1]) == list(weight[:1])


def check_holds(prefix: str, variables: Mapping[str, tf.Variable]) -> None:
    """Raise `ArtifactError` unless a checkpoint holds all of `variables`, each in its shape."""
    shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
    for name, variable in variables.items():
        if shapes.get(name) != list(variable.shape):
            there = f"has {name} of shape {shapes[name]}" if name in shapes else f"has no {name}"
            raise ArtifactError(
                f"Checkpoint {prefix} {there}, but this run needs it of shape {list(variable.shape)}: it was written "
                "with another model, optimizer or number of parts. Compile the model as it was when the run began, or "
                "train a new run (run=new)."
            )


def slots_of(optimizer: Any, variable: tf.Variable) -> Iterator[tuple[str, tf.Variable]]:
    """The slots of one variable, by name; none if it is not trained."""
    for one in _with_inner(optimizer):
        for slot in sorted(one.get_slot_names()):
            with contextlib.suppress(KeyError):
                yield slot, one.get_slot(variable, slot)


def _with_inner(optimizer: Any) -> Iterator[Any]:
    """An optimizer and those that it hands variables on to, e.g. the two of a `SplitOptimizer`."""
    yield optimizer
    for inner in vars(optimizer).values():
        if isinstance(inner, tf.keras.optimizers.legacy.Optimizer):
            yield from _with_inner(inner)


def counts_of(parts: Mapping[str, int]) -> dict[int, int]:
    """The parts that a stamp tells of, by place."""
    return {int(place): count for place, count in parts.items()}
