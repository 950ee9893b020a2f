"""The scores that a promotion compares: the run's own and the champion's, of the same rows."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig

from ctrkit.checksum import directory_checksum
from ctrkit.commands.console import say
from ctrkit.commands.evaluate import evaluate_run
from ctrkit.errors import ArtifactError
from ctrkit.progress import progress

if TYPE_CHECKING:
    from ctrkit.analysis import ScoredPart
    from ctrkit.records import Prepared, Records
    from ctrkit.tracking.registry import RegisteredVersion, Registry

SAMPLE = 256  # Rows scored again to see whether scores that lie beside a run are those of its export.
AT_ONCE = 1024
RUN_DIR = "ctrkit.run_dir"  # Tag of a version: where its run lies, on the machine that promoted it.


def own_scores(
    config: DictConfig, run_dir: Path, exported: Path, records: Records
) -> tuple[ScoredPart, dict[str, Any], bool]:
    """What the run's evaluation thinks of the rows, its figures, and whether the export gives the same scores.

    The run is evaluated now where it was not, or where the rows or the weights are others by now.
    """
    from ctrkit.analysis import ScoredPart

    part = str(config.part)
    try:
        scores, evaluation = ScoredPart.load(run_dir, part), _evaluation(run_dir, part)
    except ArtifactError:
        scores, evaluation = None, {}
    if (
        scores is not None
        and {"slices", "intervals"} <= set(evaluation)
        and scores.records == records.manifest.checksum
        and _are_of(scores, exported, records, config)
    ):
        return scores, evaluation, True
    evaluate_run(config, run_dir)
    scores = ScoredPart.load(run_dir, part)
    return scores, _evaluation(run_dir, part), _are_of(scores, exported, records, config)


def _evaluation(run_dir: Path, part: str) -> dict[str, Any]:
    path = run_dir / f"evaluation_{part}.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"Cannot read {path}: {error}. Type: ctrkit evaluate run={run_dir.name}") from error


def champions_scores(
    config: DictConfig, registry: Registry, champion: RegisteredVersion, own: ScoredPart, records: Records
) -> ScoredPart:
    """What the champion thinks of the same rows: as its run was evaluated, else scored now by its SavedModel.

    Raises `ArtifactError` with why that cannot be, as the end of a sentence.
    """
    found = _kept_scores(champion, own, records, config)
    if found is not None:
        return found
    from ctrkit.records import Prepared
    from ctrkit.tracking.fetched import fetch, fetched_folder

    why_not = why_no_extension_of(registry, champion, Prepared.open(records.directory.parents[1]))
    if why_not is not None:
        raise ArtifactError(f"it was evaluated on other rows, and cannot score these: {why_not}")
    path = fetch(registry, champion, fetched_folder(str(config.root), registry, champion.name))
    say(f"scoring the {records.rows:,} rows by the champion, version {champion.version}")
    scores = _scored(path, records.arrays()["ids"])
    return dataclasses.replace(own, scores=scores)


def why_no_extension_of(registry: Registry, champion: RegisteredVersion, prepared: Prepared) -> str | None:
    """What keeps the index of `prepared` from being the champion's, or an extension of it; None where nothing does."""
    if champion.tags.get("ctrkit.index_fingerprint") == prepared.fingerprint:
        return None
    from ctrkit.indexing import FeatureIndex
    from ctrkit.promotion import why_no_extension

    with tempfile.TemporaryDirectory(prefix="ctrkit-index-") as folder:
        old = FeatureIndex.load(registry.download_index(champion, Path(folder)))
        return why_no_extension(prepared.index, old)


def _kept_scores(
    champion: RegisteredVersion, own: ScoredPart, records: Records, config: DictConfig
) -> ScoredPart | None:
    """The scores beside the champion's run, where that run is here and they are of these rows and of that model."""
    from ctrkit.analysis import ScoredPart

    run_dir = Path(champion.tags.get(RUN_DIR, "nowhere"))
    exports = [path for path in run_dir.glob("export/*") if path.name.isdigit()]
    its_own = next((path for path in exports if directory_checksum(path) == champion.digest), None)
    try:
        kept = ScoredPart.load(run_dir, own.part)
    except ArtifactError:
        return None
    if its_own is None or own.difference_of_rows(kept) is not None:
        return None
    if kept.records == own.records and not _are_of(kept, its_own, records, config):
        return None
    return kept  # Of another index's records of these rows there is nothing to score again.


def _are_of(found: ScoredPart, exported: Path, records: Records, config: DictConfig) -> bool:
    """Whether the export gives the first rows the scores that were kept: not so when the run was trained on."""
    ids = records.arrays(limit=SAMPLE)["ids"]
    again = _scored(exported, ids)
    return bool(np.abs(again - found.scores.reshape(-1)[: len(ids)]).max(initial=0) <= 10 * float(config.verify.bound))


def _scored(exported: Path, ids: np.ndarray) -> np.ndarray:
    """Score rows by a SavedModel: float32 `[n]`."""
    from ctrkit.serving import SavedModelRuntime

    runtime = SavedModelRuntime.load(exported)
    parts = [np.empty(0, np.float32)]
    try:
        with progress("scoring", total=len(ids)) as shown:
            for at in range(0, len(ids), AT_ONCE):
                part = np.ascontiguousarray(ids[at : at + AT_ONCE], dtype=np.int32)
                parts.append(runtime.run("serving_default", {"ids": part})["ctr"].reshape(-1))
                shown.advance(len(part))
    finally:
        runtime.close()
    return np.concatenate(parts)
