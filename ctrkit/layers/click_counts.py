"""How often each value of each field was clicked and how often it was not, by fold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from ctrkit.errors import ConfigError
from ctrkit.layers.field_embeddings import FieldEmbeddings
from ctrkit.layers.layout import IndexLike, TableLayout

FOLDS = 4  # Three quarters of the rows tell a rate well enough; each fold more costs two numbers a row.


@tf.keras.utils.register_keras_serializable("ctrkit")
class ClickCounts(FieldEmbeddings):
    """Looks up impressions with and without a click, in each fold of the training part, for `ClickRates`.

    The table never learns: `ctrkit.training.count_clicks` fills it from records, which `ctrkit.train` does by itself
    before the first step. Until then it is all zeros. Each field has rows of its own: that a film was seen before is
    not counted among the impressions of the film.

    Args:
        index: a `FeatureIndex`.
        folds: parts of the training part that are counted each by itself.
        fields: names of the features to look up; all when None.
    Call args and Returns: as `FieldEmbeddings`, with vectors `[clicks, others, clicks, others, …]`, a pair for each
        fold. A sequence is the mean of its values' counts. Always float32, whose sums are exact where halves' are not.
    Raises:
        ConfigError: fewer than two folds, an unknown name in `fields`.
    """

    def __init__(
        self,
        index: IndexLike | TableLayout,
        *,
        folds: int = FOLDS,
        fields: Iterable[str] | None = None,
        name: str | None = None,
    ) -> None:
        if isinstance(folds, bool) or not isinstance(folds, int) or folds < 2:
            raise ConfigError(f"ClickCounts: `folds` is {folds!r}, expected an integer >= 2, e.g. {FOLDS}.")
        layout = index if isinstance(index, TableLayout) else TableLayout.of(index, fields, shared=False)
        super().__init__(
            layout,
            dim=2 * folds,
            deduplicate=False,
            initializer="zeros",
            name=name,
            trainable=False,
            dtype="float32",
        )

    @property
    def folds(self) -> int:
        """Parts of the training part that are counted each by itself."""
        return self.dim // 2

    def _add_table(self) -> None:
        # By itself, too, as whoever freezes and thaws a model makes every layer trainable.
        shape = (self.layout.rows, self.dim)
        self.table = self.add_weight(name="table", shape=shape, initializer=self.initializer, trainable=False)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClickCounts:
        layout = TableLayout.from_config(config["layout"])
        return cls(layout, folds=config["dim"] // 2, name=config["name"])
