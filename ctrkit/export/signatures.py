"""The signatures of a SavedModel: packed ids, user and candidates, one tensor a feature, and the fingerprint."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ExportError
from ctrkit.export.guard import guarded, guards_itself
from ctrkit.export.index_signature import IndexSignature
from ctrkit.export.options import ExportOptions
from ctrkit.export.prune import PrunedFunction, traced
from ctrkit.export.rank_form import RankForm, choose, tiled
from ctrkit.indexing import FeatureIndex, Field
from ctrkit.models import rank_model
from ctrkit.schema import Sequence

OUTPUT = "ctr"
SCORING = ("serving_default", "rank", "named")  # Signatures that score; XLA may compile them.
_FORBIDDEN = frozenset({*keyword.kwlist, "self"})  # No input of TensorFlow can have these names.
_ADVICE = "End it with `ClickProbability(name='ctr')(logit)`, or `Dense(1, activation='sigmoid', name='ctr')`."


@dataclass(frozen=True)
class Servable:
    """What `tf.saved_model.save` needs, and what was decided on the way."""

    module: tf.Module
    functions: dict[str, PrunedFunction]
    named_inputs: dict[str, str]
    rank: RankForm
    out_of_range: str  # "model" or "export"

    @property
    def parameters(self) -> int:
        return int(sum(np.prod(variable.shape) for variable in self.module.served_variables))

    def compiled(self, names: Iterable[str]) -> Servable:
        """The same with these signatures compiled by XLA."""
        return replace(self, functions={**self.functions, **{name: self.functions[name].compiled() for name in names}})

    def carrying(self, index: IndexSignature) -> Servable:
        """The same with a signature that gives the index away."""
        self.module.index_contents = index.asset
        return replace(self, functions={**self.functions, "feature_index": index.function})


def build_servable(model: tf.keras.Model, index: FeatureIndex, rows: np.ndarray, options: ExportOptions) -> Servable:
    """Trace the four signatures over the model's variables; `rows` are `int32 [n, width]` to decide forms by."""

    def score(ids: tf.Tensor) -> tf.Tensor:
        return click_probability(model, ids)

    def kept_score(ids: tf.Tensor) -> tf.Tensor:
        return score(keep(ids, table_rows))

    def broadcast(user_ids: tf.Tensor, item_ids: tf.Tensor) -> tf.Tensor:
        return click_probability(sided, [keep(user_ids, table_rows[:cut]), keep(item_ids, table_rows[cut:])])

    cut, table_rows, sided = index.user_width, index.rows_per_column, rank_model(model)
    with tf.device("/CPU:0"):  # Decide where an id out of range is refused, and traced once rather than eagerly.
        plain = _fast(score, index.width)
        itself = guards_itself(plain, index, rows[0])
        keep = (lambda ids, _: ids) if itself else guarded
        together = None if sided is None else _fast(broadcast, cut, index.item_width)
        form = choose(together, plain if itself else _fast(kept_score, index.width), index, rows, options)
    rank = broadcast if form.name == "broadcast" else tiled(kept_score)
    names = input_names(index)
    functions = {
        "serving_default": traced(lambda x: {OUTPUT: kept_score(x["ids"])}, _packed(ids=index.width)),
        "rank": traced(
            lambda x: {OUTPUT: rank(x["user_ids"], x["item_ids"])},
            {**_packed(item_ids=index.item_width), "user_ids": tf.TensorSpec([1, cut], tf.int32, name="user_ids")},
        ),
        "named": traced(
            lambda x: {OUTPUT: kept_score(_pack(x, index, names))},
            {names[field.name]: _named_spec(field, names[field.name]) for field in index.fields},
        ),
        "fingerprint": traced(lambda _: {"fingerprint": tf.constant([index.fingerprint])}, {}),
    }
    return Servable(_module(model, functions), functions, names, form, "model" if itself else "export")


def _fast(score: Callable[..., tf.Tensor], *widths: int) -> Callable[..., tf.Tensor]:
    """`score` traced for any batches of ids of these widths, when it is first called."""
    return tf.function(score, [tf.TensorSpec([None, width], tf.int32) for width in widths], autograph=False)


def click_probability(model: tf.keras.Model, inputs: Any) -> tf.Tensor:
    """The model's one output, as in serving: float32 `(batch, 1)`. Raises `ExportError` for another shape."""
    found = model(inputs, training=False)
    if isinstance(found, (list, tuple, Mapping)) and len(found) == 1:
        found = next(iter(found.values() if isinstance(found, Mapping) else found))
    if not tf.is_tensor(found):
        raise ExportError(f"Model {model.name!r} gives {len(found)} outputs, expected one click probability. {_ADVICE}")
    if found.shape.rank != 2 or found.shape[1] != 1:
        raise ExportError(f"Model {model.name!r} gives scores of shape {found.shape}, expected (batch, 1). {_ADVICE}")
    return tf.cast(found, tf.float32)


def input_names(index: FeatureIndex) -> dict[str, str]:
    """Feature -> its input of signature `named`: the same word wherever TensorFlow can take it.

    TensorFlow refuses Python's keywords, a leading underscore, and two names that differ in case alone; such a name
    loses the underscore and gets one at its end.
    """
    names: dict[str, str] = {}
    plain = [f.name for f in index.fields if f.name not in _FORBIDDEN and not f.name.startswith("_")]
    taken: set[str] = set()
    for name in plain:
        if name.lower() not in taken:
            names[name] = name
            taken.add(name.lower())
    for field in index.fields:
        if field.name not in names:
            name = f"{field.name.lstrip('_') or 'feature'}_"
            while name.lower() in taken:
                name += "_"
            names[field.name] = name
            taken.add(name.lower())
    return {field.name: names[field.name] for field in index.fields}


def is_sequence(field: Field) -> bool:
    """Whether `named` takes the field as `[n, length]` rather than `[n]`."""
    return isinstance(field.feature, Sequence)


def _packed(**widths: int) -> dict[str, tf.TensorSpec]:
    return {name: tf.TensorSpec([None, width], tf.int32, name=name) for name, width in widths.items()}


def _named_spec(field: Field, name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None, field.length] if is_sequence(field) else [None], tf.int32, name=name)


def _pack(features: Mapping[str, tf.Tensor], index: FeatureIndex, names: Mapping[str, str]) -> tf.Tensor:
    """Tensors by input name to `ids`, int32 `(batch, width)`."""
    parts = []
    for several, fields in itertools.groupby(index.fields, key=is_sequence):
        rows = [features[names[field.name]] for field in fields]
        parts += rows if several else [tf.stack(rows, axis=1)]  # One operation for all neighbours, not one for each.
    return tf.concat(parts, axis=1)


def _module(model: tf.keras.Model, functions: Mapping[str, PrunedFunction]) -> tf.Module:
    """Holds the variables that scoring reads, each once, and lookup tables; no Keras object, no optimizer slots."""
    module = tf.Module(name="servable")
    by_id = {id(variable): variable for function in functions.values() for variable in function.variables}
    module.served_variables = list(by_id.values())
    module.resources = [
        node
        for node in tf.train.TrackableView(model).descendants()
        if isinstance(node, tf.saved_model.experimental.TrackableResource)
    ]
    return module
