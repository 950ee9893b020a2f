"""Freeze a Keras model into the next version of a SavedModel that carries its index, real requests and scores."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ctrkit.errors import ArtifactError, ExportError
from ctrkit.export.compilation import Compilation, decide
from ctrkit.export.guard import guards_itself
from ctrkit.export.index_signature import CONTENTS, index_signature
from ctrkit.export.manifest import INDEX_PATH, Golden, Manifest
from ctrkit.export.model_contract import check_model, golden_scores
from ctrkit.export.options import ExportOptions
from ctrkit.export.publish import check_version, staged_version
from ctrkit.export.rows import RecordsLike, check_fingerprint, golden_rows, sample_rows
from ctrkit.export.saved_scorers import SavedModelScorers
from ctrkit.export.signatures import SCORING, Servable, build_servable
from ctrkit.export.warmup import requests, write_warmup
from ctrkit.indexing import FeatureIndex
from ctrkit.progress import progress
from ctrkit.reasons import reason_of
from ctrkit.records.disk import disk_errors
from ctrkit.version import __version__

SAME_SCORE = 1e-5  # Largest difference from Keras to publish; a row alone and in a batch differ by up to 4e-6.
SAMPLE = 1024  # Rows read from the records at most, unless a bucket or the golden rows need more.


def export_model(
    model: tf.keras.Model,
    index: FeatureIndex,
    directory: str | os.PathLike[str],
    *,
    records: RecordsLike | None = None,
    options: ExportOptions | None = None,
    version: int | None = None,
) -> Path:
    """Write `directory/<version>/`, which appears whole or not at all, and return its path.

    Its signatures, all of int32 tensors: `serving_default` (`ids` `[n, width]`), `rank` (`user_ids` `[1, user_width]`,
    `item_ids` `[n, item_width]`) and `named` (one tensor a feature, `[n]`, or `[n, length]` for a sequence) give `ctr`,
    float32 `[n, 1]`, for any `n`; `fingerprint` takes nothing, `feature_index` gives the index in parts. An id
    out of range reads the out-of-vocabulary row.

    Args:
        model: takes `ids` and gives one click probability a row; it is not changed.
        index: the feature index that it was trained with; it travels inside.
        records: real rows for the warmup requests and the golden rows; made up when None.
        version: an integer that is not there yet; the one after the last when None.
    Raises:
        ExportError: the model cannot be served, or the SavedModel would not score as the model does.
        IndexMismatchError: model, index and records do not belong together.
        ArtifactError: it could not be written, for instance because the disk is full.
    """
    options = ExportOptions() if options is None else options
    directory = Path(directory)
    check_version(directory, version)
    check_model(model, index)
    if records is not None:
        check_fingerprint(records, index.fingerprint, owner="the index")
    rows = sample_rows(index, records, max(SAMPLE, *options.buckets, options.golden_rows))
    with progress("exporting", total=4, unit="steps") as shown:
        servable = build_servable(model, index, rows, options)
        golden = golden_scores(model, golden_rows(index, rows, options.golden_rows))
        shown.advance(1, "signatures traced")
        with _write_errors(directory), staged_version(directory, version) as (staged, publish):
            warmup = list(requests(index, rows, options.buckets, servable.named_inputs))
            _check_space(staged, servable, times=2 if options.xla == "auto" else 1)
            scratch = staged / "measured"
            with _quiet():
                compilation = decide(servable, warmup, options, scratch)
            shutil.rmtree(scratch, ignore_errors=True)
            servable = servable.compiled(compilation.signatures)
            index.save(staged / INDEX_PATH)
            if options.index_signature:
                carried = index_signature(index, staged / INDEX_PATH, staged / CONTENTS)
                servable = servable.carrying(carried)
            concrete = {name: function.concrete for name, function in servable.functions.items()}
            with _quiet():
                tf.saved_model.save(servable.module, str(staged), signatures=concrete)
            (staged / CONTENTS).unlink(missing_ok=True)  # The saver has its own copy in the assets.
            shown.advance(1, "variables and index written")
            write_warmup(staged, warmup)
            described = _manifest(model, index, servable, options, golden, from_records=records is not None)
            replace(described, **_compiled(compilation, options)).save(staged)
            shown.advance(1, "warmup requests written")
            _check_scores(staged, index, servable, golden, compiled=compilation.signatures)
            shown.advance(1, "scores compared")
            return publish()


def _manifest(
    model: tf.keras.Model,
    index: FeatureIndex,
    servable: Servable,
    options: ExportOptions,
    golden: Golden,
    *,
    from_records: bool,
) -> Manifest:
    return Manifest(
        model=model.name,
        fingerprint=index.fingerprint,
        width=index.width,
        user_width=index.user_width,
        signatures={
            "serving_default": ("ids",),
            "rank": ("user_ids", "item_ids"),
            "named": tuple(servable.named_inputs.values()),
            "fingerprint": (),
            **({"feature_index": ("part",)} if options.index_signature else {}),
        },
        named_inputs=servable.named_inputs,
        rank_form=servable.rank.name,
        rank_reason=servable.rank.reason,
        out_of_range=servable.out_of_range,
        parameters=servable.parameters,
        buckets=options.buckets,
        rows_from="records" if from_records else "made up",
        golden=golden,
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        versions={"ctrkit": __version__, "tensorflow": tf.__version__, "numpy": np.__version__},
    )


def _compiled(compilation: Compilation, options: ExportOptions) -> dict[str, Any]:
    """What the manifest says about XLA."""
    return {"compiled": dict.fromkeys(compilation.signatures, options.buckets), "xla": compilation.choice}


def _check_scores(
    staged: Path, index: FeatureIndex, servable: Servable, golden: Golden, *, compiled: Sequence[str]
) -> None:
    """Load what was written and score the golden rows by every signature before anybody can see it."""
    ids, expected = golden.arrays()
    saved = SavedModelScorers(staged, index, servable.named_inputs)
    for name in SCORING:
        difference = np.abs(getattr(saved, name)(ids) - expected)
        row = int(np.argmax(difference))
        if not difference[row, 0] <= SAME_SCORE:
            raise ExportError(
                f"Golden row {row} scores {expected[row, 0]:.7f} in Keras, but the SavedModel's signature {name!r} "
                f"differs by {difference[row, 0]:.1e} (allowed {SAME_SCORE:.0e}), so nothing was published. Does the "
                "model draw random numbers or keep state when it is called with training=False?"
            )
    for name in compiled:
        check_compiled_guard(getattr(saved, name), name, index, ids[0])


def check_compiled_guard(
    score: Callable[[np.ndarray], np.ndarray], name: str, index: FeatureIndex, row: np.ndarray
) -> None:
    """Raise `ExportError` unless the compiled signature sends ids out of range to the OOV row.

    A gather that XLA compiled refuses nothing: it would read another row's embedding, and the score would be wrong.
    """
    if not guards_itself(lambda ids: score(np.asarray(ids)), index, row):
        raise ExportError(
            f"Signature {name!r}, compiled by XLA, scores an id out of range otherwise than the out-of-vocabulary row, "
            "so nothing was published. Export with xla=false (`export.xla=false`)."
        )


def _check_space(staged: Path, servable: Servable, *, times: int) -> None:
    """Refuse before a long write when the disk cannot hold the model so many times."""
    needed = times * sum(int(np.prod(v.shape)) * v.dtype.size for v in servable.module.served_variables)
    free = shutil.disk_usage(staged).free
    if needed > free:
        raise ArtifactError(
            f"The disk is full: the export to {staged.parent} needs about {needed / 1e6:,.1f} MB, {free / 1e6:,.1f} MB "
            "are free. Free some space or export elsewhere, then run the same command again."
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without TensorFlow's remarks on names of temporary folders."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _write_errors(directory: Path) -> Iterator[None]:
    """`ArtifactError` for what the operating system or TensorFlow's writers complain about."""
    with disk_errors(directory):
        try:
            yield
        except tf.errors.OpError as error:
            raise ArtifactError(
                f"Cannot write the export to {directory}: {reason_of(error)}. "
                f"{shutil.disk_usage(directory).free / 1e6:,.0f} MB are free there. Nothing was left behind. Free some "
                "space or export elsewhere, then run the same command again."
            ) from error
