"""Ask the gates of a promotion, each with its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from omegaconf import DictConfig

from ctrkit.commands.console import say, table
from ctrkit.commands.evaluate import part_of
from ctrkit.commands.promotion_candidate import Candidate
from ctrkit.commands.promotion_scores import champions_scores, why_no_extension_of
from ctrkit.errors import ArtifactError

if TYPE_CHECKING:
    from ctrkit.promotion import Gate, PromotionOptions
    from ctrkit.tracking.registry import RegisteredVersion, Registry


def ask(
    config: DictConfig,
    registry: Registry,
    candidate: Candidate,
    champion: RegisteredVersion | None,
    options: PromotionOptions,
) -> list[Gate]:
    """Every gate's answer, in the order of the options."""
    from ctrkit import promotion

    asked: dict[str, Gate] = {}
    if "parity" in options.gates:
        asked["parity"] = promotion.parity_gate(candidate.verification, digest=candidate.digest)
    asked.update(_compared(config, registry, candidate, champion, options))
    if "calibration" in options.gates:
        metrics, intervals = candidate.evaluation["metrics"], candidate.evaluation["intervals"]
        asked["calibration"] = promotion.calibration_gate(metrics["pcoc"], intervals.get("pcoc"), options.pcoc)
    if "slices" in options.gates:
        asked["slices"] = promotion.slices_gate(
            candidate.evaluation["slices"], options.slice_pcoc, clicks=options.slice_clicks
        )
    if "latency" in options.gates:
        found = candidate.latency
        asked["latency"] = promotion.latency_gate(
            found["p99_ms"],
            options.latency_ms,
            p50_ms=found["p50_ms"],
            candidates=found["candidates"],
            requests=found["requests"],
        )
    if "index" in options.gates:
        held = None if champion is None else champion.tags.get("ctrkit.index_fingerprint")
        why_not = None if champion is None else why_no_extension_of(registry, champion, candidate.prepared)
        asked["index"] = promotion.index_gate(
            candidate.prepared.fingerprint, held, why_no_extension=why_not, allow_new=options.allow_new_index
        )
    gates = [asked[name] for name in promotion.GATES if name in asked]
    say(table([(gate.name, f"{gate.verdict:<8} {gate.text}") for gate in gates]))
    return gates


def _compared(
    config: DictConfig,
    registry: Registry,
    candidate: Candidate,
    champion: RegisteredVersion | None,
    options: PromotionOptions,
) -> dict[str, Gate]:
    """The gates that ask whether the champion is better on the same rows."""
    from ctrkit.analysis import auc_difference, log_loss_difference
    from ctrkit.promotion import comparison_gate

    names: tuple[Literal["auc", "log_loss"], ...] = ("auc", "log_loss")
    wanted = [name for name in names if name in options.gates]
    if not wanted:
        return {}
    against, own = f"champion, version {champion.version}" if champion is not None else "", candidate.scores
    other, why_not = None, None
    if champion is not None:
        records = part_of(candidate.prepared, own.part)
        try:
            other = champions_scores(config, registry, champion, own, records)
        except ArtifactError as error:
            why_not = str(error)
    found: dict[str, Gate] = {}
    for name in wanted:
        difference = None
        if other is not None:
            compare = auc_difference if name == "auc" else log_loss_difference
            difference = compare(own.labels, other.scores, own.scores, own.weights, confidence=options.confidence)
        margin = options.auc_margin if name == "auc" else options.log_loss_margin
        found[name] = comparison_gate(
            name, difference, against=against, rows=len(own.labels), margin=margin, why_not=why_not
        )
    return found
