"""How often each row of a fused table was clicked and how often it was not, by fold."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.field_embeddings import FieldEmbeddings
from ctrkit.layers.layout import IndexLike

FOLDS = 4  # Three quarters of the rows tell a rate well enough; each fold more costs two numbers a row.


@tf.keras.utils.register_keras_serializable("ctrkit")
class ClickCounts(FieldEmbeddings):
    """Looks up impressions with and without a click, in each fold of the training part; make it by `of`.

    The table never learns: `ctrkit.training.count_clicks` fills it from records, which `ctrkit.training.train` does by
    itself before the first step. Until then it is all zeros. `ClickRates` turns counts into features.

    Call args and Returns: as `FieldEmbeddings`, with vectors `[clicks, others, clicks, others, …]`, a pair for each
        fold. A sequence is the mean of its values' counts.
    """

    @classmethod
    def of(cls, index: IndexLike, *, folds: int = FOLDS, **kwargs: Any) -> ClickCounts:
        """The layer for the fields of an index, or those of `fields=[…]`. Raises `ConfigError` below two folds."""
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise ConfigError(f"ClickCounts: `folds` is {folds!r}, expected an integer >= 2, e.g. {FOLDS}.")
        return cls(index, dim=2 * folds, trainable=False, deduplicate=False, initializer="zeros", **kwargs)

    @property
    def folds(self) -> int:
        """Parts of the training part that are counted each by itself."""
        return self.dim // 2
