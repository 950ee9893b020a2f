"""Write the verdicts of a promotion down where people look for them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.card import update_card
from ctrkit.commands.promotion_candidate import Candidate

if TYPE_CHECKING:
    from ctrkit.promotion import Gate, PromotionOptions
    from ctrkit.tracking import Run
    from ctrkit.tracking.aliases import Move
    from ctrkit.tracking.registry import RegisteredVersion, Registry

PROMOTION_FILE = "promotion.json"  # In the run's folder.


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gates said of a version."""

    candidate: Candidate
    version: RegisteredVersion
    champion: RegisteredVersion | None  # That it was compared with.
    gates: list[Gate]

    @property
    def failed(self) -> list[Gate]:
        return [gate for gate in self.gates if not gate.lets_through]


def record(
    config: DictConfig,
    registry: Registry,
    tracker: Run,
    options: PromotionOptions,
    verdict: Verdict,
    *,
    move: Move | None,
) -> None:
    """Write the verdicts down: tags of the version and of the run, promotion.json, the card."""
    candidate, version, champion, gates = verdict.candidate, verdict.version, verdict.champion, verdict.gates
    passed = not verdict.failed
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


def refusal(registry: Registry, verdict: Verdict, options: PromotionOptions) -> str:
    """What a person is told whose model failed."""
    version, failed = verdict.version, verdict.failed
    now = registry.model(version.name).aliases.get(options.to)
    stays = f"no version is {options.to} yet" if now is None else f"version {now} stays {options.to}"
    reasons = "\n".join(f"  {gate.name}: {gate.text} (asked: {gate.bound})" for gate in failed)
    return (
        f"{version} does not become {options.to}; {stays}. Failed {len(failed)} of the gates:\n{reasons}\n"
        "It stays registered without the alias, with these verdicts as tags. To ask for something else: promotion.KEY; "
        "see ctrkit promote --help"
    )
