"""Score all rows of some records and judge the scores exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError
from ctrkit.metrics.exact import summarize
from ctrkit.progress import progress
from ctrkit.records import Records

COLUMNS = ("label", "score", "weight", "group")
KEPT = "ids"  # Of the batches given to `Evaluation.of`: the columns of `ids` that were asked for.


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of rows in file order beside what is known of them."""

    metrics: dict[str, float]  # As `ctrkit.metrics.exact.summarize` names them.
    labels: np.ndarray  # float32 [n]
    scores: np.ndarray  # float32 [n], probabilities
    weights: np.ndarray | None  # float32 [n]
    groups: np.ndarray | None  # int64 [n]
    ids: np.ndarray | None = None  # int32 [n, kept columns]

    @classmethod
    def of(cls, batches: Iterable[Mapping[str, np.ndarray]]) -> Evaluation:
        """Judge batches of arrays `label`, `score` and, where they have them, `weight`, `group` and `ids`.

        Raises `ArtifactError` where there is no row.
        """
        parts: dict[str, list[np.ndarray]] = {name: [] for name in COLUMNS}
        kept: list[np.ndarray] = []
        for batch in batches:
            for name in COLUMNS:
                if name in batch:
                    parts[name].append(np.asarray(batch[name]).reshape(-1))
            if KEPT in batch:
                kept.append(batch[KEPT])
        if not parts["label"]:
            raise ArtifactError("There is no row to evaluate. Prepare with a larger share for this part.")
        columns = {name: np.concatenate(arrays) if arrays else None for name, arrays in parts.items()}
        labels, scores, weights, groups = (columns[name] for name in COLUMNS)
        assert labels is not None
        assert scores is not None
        metrics = summarize(labels, scores, weights, groups)
        ids = np.concatenate(kept) if kept else None
        return cls(metrics=metrics, labels=labels, scores=scores, weights=weights, groups=groups, ids=ids)


def evaluate(
    model: tf.keras.Model, records: Records, *, batch_size: int = 8192, keep: Sequence[int] = ()
) -> Evaluation:
    """Score every row of `records` with the weights that `model` holds.

    Args:
        model: from `ids` int32 `(batch, width)` to a probability `(batch, 1)`.
        records: the rows; read once, in file order.
        batch_size: rows scored at once; the metrics do not depend on it.
        keep: columns of `ids` to hand back beside the scores, to judge slices of the rows.
    Raises:
        ArtifactError: no rows.
        CorruptRecordsError: a shard is damaged.
        CtrkitError: a score is NaN.
    """
    signature = [tf.TensorSpec([None, records.width], tf.int32)]
    score = tf.function(lambda ids: model(ids, training=False), input_signature=signature, autograph=False)

    def scored() -> Iterable[Mapping[str, np.ndarray]]:
        with progress("evaluating", total=records.rows) as shown, records.explained():
            for batch in records.dataset(batch_size):
                columns = {name: batch[name].numpy() for name in COLUMNS if name in batch}
                if keep:
                    columns[KEPT] = batch["ids"].numpy()[:, list(keep)]
                yield {**columns, "score": score(batch["ids"]).numpy()}
                shown.advance(len(columns["label"]))

    return Evaluation.of(scored())
