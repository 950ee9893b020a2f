"""`ctrkit promote`: register a run's export and let an alias point to it, when it passes the gates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.export import RUNTIME
from ctrkit.commands.instantiating import make
from ctrkit.commands.promotion_candidate import Candidate, measured
from ctrkit.commands.promotion_gates import ask
from ctrkit.commands.promotion_record import Verdict, record, refusal
from ctrkit.commands.promotion_scores import RUN_DIR
from ctrkit.commands.registered import open_registry
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.workspace import RUN_FILE, check_part, find_run
from ctrkit.errors import ArtifactError, PromotionError, TrackingError

if TYPE_CHECKING:
    from ctrkit.promotion import PromotionOptions
    from ctrkit.tracking import Run
    from ctrkit.tracking.aliases import Move
    from ctrkit.tracking.registry import RegisteredVersion, Registry

FINISHED = "finished"  # What run.json says of a training that ended by itself.
TRIES = 5  # Times that the gates are asked again because another promotion moved the champion meanwhile.


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
            verdict = Verdict(candidate=candidate, version=version, champion=champion, gates=gates)
            record(config, registry, tracker, options, verdict, move=None)
            if verdict.failed:
                raise PromotionError(refusal(registry, verdict, options))
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
        record(config, registry, tracker, options, verdict, move=move)
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
