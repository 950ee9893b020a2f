"""`ctrkit promote`: register a run's export and let an alias point to it, when it passes the gates."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.checksum import directory_checksum
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say, table
from ctrkit.commands.evaluate import part_of
from ctrkit.commands.export import RUNTIME, export_run
from ctrkit.commands.instantiating import make
from ctrkit.commands.latency import measured_latency
from ctrkit.commands.promotion_scores import RUN_DIR, champions_scores, own_scores, why_no_extension_of
from ctrkit.commands.registered import open_registry
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.verify import verified
from ctrkit.commands.workspace import RUN_FILE, check_part, find_run, latest_export
from ctrkit.errors import ArtifactError, PromotionError, TrackingError

if TYPE_CHECKING:
    from ctrkit.analysis import ScoredPart
    from ctrkit.promotion import Gate, PromotionOptions
    from ctrkit.records import Prepared
    from ctrkit.tracking import Run
    from ctrkit.tracking.aliases import Move
    from ctrkit.tracking.registry import RegisteredVersion, Registry

PROMOTION_FILE = "promotion.json"
FINISHED = "finished"  # What run.json says of a training that ended by itself.
TRIES = 5  # Times that the gates are asked again because another promotion moved the champion meanwhile.


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


def run(config: DictConfig) -> None:
    """Promote and say what to do next."""
    run_dir = find_run(config)
    move = promote_run(config, run_dir)
    name = str(config.promotion.name)
    what = "is" if not move.is_moved else "is now"
    before = "" if move.before in (None, move.version) else f" (version {move.before} before)"
    say(f"{name} version {move.version} {what} {move.alias}{before}")
    say(f"next: ctrkit serve models:/{name}@{move.alias}")


def promote_run(config: DictConfig, run_dir: Path) -> Move:
    """Measure what is not measured yet, register, ask the gates and move the alias.

    Raises `PromotionError` when a gate fails: the alias stays, the version stays registered with the verdicts.
    """
    from ctrkit.tracking.aliases import CHAMPION, ChampionChangedError, point_alias, point_champion

    options: PromotionOptions = make(config.promotion)
    check_part(config.part)
    check_finished(run_dir)
    registry = open_registry(config, may_create=True)
    registry.create(options.name)  # First of all: where the registry is down, nothing needs to be measured.
    candidate = measured(config, run_dir, options)
    with tracked_run(config, run_dir) as tracker:
        version = registered(config, registry, candidate, tracker, options)
        registry.check(version)
        for attempt in range(TRIES):
            champion = champion_to_beat(registry, version)
            gates = ask(config, registry, candidate, champion, options)
            _record(config, candidate, registry, version, champion, gates, tracker, options, move=None)
            failed = [gate for gate in gates if not gate.lets_through]
            if failed:
                raise PromotionError(_refusal(registry, version, failed, options))
            try:
                if options.to == CHAMPION:
                    expected = None if champion is None else champion.version
                    move = point_champion(registry, version, expected=expected)
                else:
                    move = point_alias(registry, version, options.to)
                break
            except ChampionChangedError as error:
                if attempt == TRIES - 1:
                    raise
                say(f"{error} Asking the gates again.")
        _record(config, candidate, registry, version, champion, gates, tracker, options, move=move)
    return move


def check_finished(run_dir: Path) -> None:
    """Raise `ArtifactError` for a run whose training was cut short."""
    try:
        status = json.loads((run_dir / RUN_FILE).read_text(encoding="utf-8")).get("status")
    except (OSError, ValueError):
        status = None
    if status != FINISHED:
        raise ArtifactError(
            f"Run {run_dir.name} is not trained to its end (its status is {status or 'unknown'}, expected {FINISHED}). "
            f"Let it go on, ctrkit train run={run_dir.name} work_dir={run_dir.parents[1]}, or name another: "
            "ctrkit promote RUN"
        )


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


def registered(
    config: DictConfig, registry: Registry, candidate: Candidate, tracker: Run, options: PromotionOptions
) -> RegisteredVersion:
    """The version of this export, registered now where it is not; a promotion that was killed goes on with its own."""
    from ctrkit.tracking.registry_lock import changing

    lost = TrackingError(
        f"Tracking store {registry.shown} does not answer, so nothing can be registered. Type it again."
    )
    if tracker.run_id is None:
        raise lost
    model_id = registry.logged_model(tracker.run_id, candidate.digest)
    if model_id is None:
        fingerprint = candidate.prepared.fingerprint
        uri = tracker.log_exported_model(
            candidate.exported, fingerprint=fingerprint, name=str(config.name), runtime=RUNTIME
        )
        if uri is None:
            raise lost
        model_id = uri.removeprefix("models:/")
    tags = {
        RUN_DIR: str(candidate.run_dir.absolute()),
        "ctrkit.run": candidate.run_dir.name,
        "ctrkit.export": candidate.exported.name,
    }
    with changing(registry, options.name):
        return registry.register(options.name, model_id, tags)


def champion_to_beat(registry: Registry, version: RegisteredVersion) -> RegisteredVersion | None:
    """The champion; where the version is that itself already, the one that it replaced. None where there is none."""
    from ctrkit.tracking.aliases import champions

    past = champions(registry.model(version.name))
    if past and past[-1] == version.version:
        past.pop()
    return registry.version(version.name, past[-1]) if past else None


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


def _record(
    config: DictConfig,
    candidate: Candidate,
    registry: Registry,
    version: RegisteredVersion,
    champion: RegisteredVersion | None,
    gates: list[Gate],
    tracker: Run,
    options: PromotionOptions,
    *,
    move: Move | None,
) -> None:
    """Write the verdicts down: tags of the version and of the run, promotion.json, the card."""
    passed = all(gate.lets_through for gate in gates)
    against = None if champion is None else champion.version
    tags = {f"gate.{gate.name}": gate.tag for gate in gates}
    tags.update({"gate.verdict": "passed" if passed else "failed", "gate.to": options.to})
    tags["gate.against"] = "none" if against is None else str(against)
    if move is None:
        registry.tag_version(version, tags)
    tracker.set_tags({**tags, "ctrkit.registered": f"{version.name}/{version.version}"})
    if candidate.latency:
        tracker.log_metrics({f"latency_{name}": candidate.latency[name] for name in ("p50_ms", "p99_ms")})
    write_json(
        candidate.run_dir / PROMOTION_FILE,
        {
            "name": version.name,
            "version": version.version,
            "to": options.to,
            "verdict": tags["gate.verdict"],
            "moved": move is not None,
            "before": None if move is None else move.before,
            "against": against,
            "gates": [gate.as_json() for gate in gates],
            "export": candidate.exported.name,
            "digest": candidate.digest,
            "store": registry.shown,
            "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
    )
    if move is not None or not passed:
        update_card(config, candidate.run_dir, tracker)


def _refusal(registry: Registry, version: RegisteredVersion, failed: list[Gate], options: PromotionOptions) -> str:
    now = registry.model(version.name).aliases.get(options.to)
    stays = f"no version is {options.to} yet" if now is None else f"version {now} stays {options.to}"
    reasons = "\n".join(f"  {gate.name}: {gate.text} (asked: {gate.bound})" for gate in failed)
    return (
        f"{version} does not become {options.to}; {stays}. Failed {len(failed)} of the gates:\n{reasons}\n"
        "It stays registered without the alias, with these verdicts as tags. To ask for something else: promotion.KEY; "
        "see ctrkit promote --help"
    )
