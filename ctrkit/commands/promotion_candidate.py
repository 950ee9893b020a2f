"""All that a promotion has to know of a run, measured where it was not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.checksum import directory_checksum
from ctrkit.commands.console import say
from ctrkit.commands.evaluate import part_of
from ctrkit.commands.export import export_run
from ctrkit.commands.latency import measured_latency
from ctrkit.commands.promotion_scores import own_scores
from ctrkit.commands.verify import verified
from ctrkit.commands.workspace import latest_export
from ctrkit.errors import ArtifactError

if TYPE_CHECKING:
    from ctrkit.analysis import ScoredPart
    from ctrkit.promotion import PromotionOptions
    from ctrkit.records import Prepared


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run's export and all that was measured of it."""

    run_dir: Path
    exported: Path
    digest: str
    prepared: Prepared
    scores: ScoredPart
    evaluation: dict[str, Any]
    verification: dict[str, Any]
    latency: dict[str, Any]


def measured(config: DictConfig, run_dir: Path, options: PromotionOptions) -> Candidate:
    """The run's export with its scores, verification and latency; what is missing is done now."""
    try:
        exported = latest_export(run_dir)
    except ArtifactError:
        exported = export_run(config, run_dir)
    from ctrkit.records import Prepared

    digest = directory_checksum(exported)
    prepared = Prepared.open(run_dir.parents[1])
    records = part_of(prepared, str(config.part))
    scores, evaluation, is_of_export = own_scores(config, run_dir, exported, records)
    if not is_of_export:
        say(f"version {exported.name} was exported before the run's training ended: exporting again")
        exported = export_run(config, run_dir)
        digest = directory_checksum(exported)
    verification = verified(config, run_dir, exported, digest=digest) if "parity" in options.gates else {}
    latency: dict[str, Any] = {}
    if "latency" in options.gates:
        latency = measured_latency(config, run_dir, exported, records, digest=digest, budget_ms=options.latency_ms)
    return Candidate(
        run_dir=run_dir,
        exported=exported,
        digest=digest,
        prepared=prepared,
        scores=scores,
        evaluation=evaluation,
        verification=verification,
        latency=latency,
    )
