"""Whether a run that was trained again came to the same numbers, and what else was different."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SPEED = ("samples_per_second", "seconds", "resumed_from")  # Of a machine's hour, not of a model.


@dataclass(frozen=True, kw_only=True)
class Number:
    """One figure of both runs."""

    name: str
    before: float | str | None
    now: float | str | None

    @property
    def is_equal(self) -> bool:
        """Whether they are the same to the last bit; two that are no numbers are."""
        both = (self.before, self.now)
        if all(isinstance(one, float) and math.isnan(one) for one in both):
            return True
        return self.before == self.now

    @property
    def distance(self) -> float:
        """How far apart they are; infinite where one is missing or they are no numbers."""
        if self.is_equal:
            return 0.0
        if isinstance(self.before, (int, float)) and isinstance(self.now, (int, float)):
            return abs(float(self.now) - float(self.before))
        return math.inf

    def as_json(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "equal": self.is_equal}


def numbers_of(before: Path, now: Path) -> list[Number]:
    """Every figure that the first run wrote down, beside that of the second: training, curve, evaluations."""
    first, second = _figures(before), _figures(now)
    return [Number(name=name, before=value, now=second.get(name)) for name, value in first.items()]


def parts_of(run_dir: Path) -> list[str]:
    """The parts that a run was evaluated on."""
    return sorted(path.stem.removeprefix("evaluation_") for path in run_dir.glob("evaluation_*.json"))


def surroundings(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """What differs between two environments (`origin.json`) that may change numbers, each as a sentence."""
    if not before or not now:
        return ["the run did not note its code, versions and machine"]
    found = []
    one, two = before.get("git") or {}, now.get("git") or {}
    if one.get("revision") != two.get("revision"):
        found.append(f"code: commit {_short(one)} then, {_short(two)} now")
    if one.get("dirty") or two.get("dirty"):
        when = " and ".join(word for git, word in ((one, "then"), (two, "now")) if git.get("dirty"))
        found.append(f"code: files that differ from the commit ({when})")
    old, new = before.get("packages") or {}, now.get("packages") or {}
    machines = before.get("machine") or {}, now.get("machine") or {}
    return [
        *found,
        *_unequal(old, new, sorted(old.keys() | new.keys())),
        *_unequal(*machines, ["python", "processor", "cores", "gpus"]),
    ]


def _unequal(before: Mapping[str, Any], now: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return [
        f"{name}: {before.get(name) or 'none'} then, {now.get(name) or 'none'} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def changed_data(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """How the log or its records are others than they were, each as a sentence."""
    if not before or not now:
        return []
    found = []
    old = {Path(one["path"]).name: one for one in before.get("files") or []}
    new = {Path(one["path"]).name: one for one in now.get("files") or []}
    for name in sorted(old.keys() | new.keys()):
        if name not in new or name not in old:
            found.append(f"{name} is {'gone' if name not in new else 'new'}")
        elif (old[name]["bytes"], old[name]["sha256"]) != (new[name]["bytes"], new[name]["sha256"]):
            found.append(f"{name} has other content ({old[name]['bytes']:,} bytes then, {new[name]['bytes']:,} now)")
    if before.get("fingerprint") != now.get("fingerprint"):
        found.append(f"index {str(before.get('fingerprint'))[:12]} then, {str(now.get('fingerprint'))[:12]} now")
    parts, others = before.get("parts") or {}, now.get("parts") or {}
    for name in parts:
        one, two = parts[name], others.get(name) or {}
        if one.get("checksum") != two.get("checksum"):
            found.append(f"{name} records: {one.get('rows'):,} rows then, {two.get('rows') or 0:,} now, other bytes")
    return found


def told(numbers: Sequence[Number]) -> str:
    """In one line, how far the numbers agree."""
    different = [one for one in numbers if not one.is_equal]
    if not different:
        return f"all {len(numbers)} numbers are identical to the last bit"
    furthest = max(different, key=lambda one: one.distance)
    by = "" if math.isinf(furthest.distance) else f", the most by {furthest.distance:.3g} ({furthest.name})"
    return f"{len(different)} of {len(numbers)} numbers differ{by}"


def _figures(run_dir: Path) -> dict[str, Any]:
    """By name, those that a reader asks for first at the front."""
    figures: dict[str, Any] = {}
    for part in parts_of(run_dir):
        found = _read(run_dir / f"evaluation_{part}.json") or {}
        figures |= {f"{part} {name}": value for name, value in (found.get("metrics") or {}).items()}
    result = (_read(run_dir / "run.json") or {}).get("result") or {}
    figures |= {f"validation {metric}": one for metric, one in (result.get("metrics") or {}).items()}
    figures |= {
        f"training {name.replace('_', ' ')}": value for name, value in result.items() if name not in ("metrics", *SPEED)
    }
    for report in _read(run_dir / "history.json") or []:
        named = {name: value for name, value in report.items() if name not in ("step", *SPEED)}
        figures |= {f"step {report['step']} {name}": value for name, value in named.items()}
    return figures


def _short(git: Mapping[str, Any]) -> str:
    return str(git.get("revision") or "none")[:12]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
