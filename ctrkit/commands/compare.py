"""`ctrkit compare RUN RUN…`: what differs in configuration, and whether the metrics do by more than chance."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.commands.card import read
from ctrkit.commands.console import say
from ctrkit.commands.evaluate import evaluate_run
from ctrkit.commands.located import as_trained, locate_run
from ctrkit.commands.run_origin import PLACES
from ctrkit.commands.workspace import check_part, plain, run_config, without_secrets
from ctrkit.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from ctrkit.analysis import Difference, ScoredPart

NAMES = {"auc": "AUC", "grouped_auc": "grouped AUC", "log_loss": "log loss", "pcoc": "PCOC"}
ABSENT = "–"


def run(config: DictConfig) -> None:
    """Compare the runs with the first of them."""
    words = plain(config.runs) if config.runs is not None else []
    words = words if isinstance(words, list) else [words]
    if len(words) < 2:
        raise ConfigError(f"Got {len(words)} run(s) to compare, expected two or more. Type: ctrkit compare RUN RUN …")
    folders = [locate_run(config, str(word)) for word in words]
    scores = [scored_part(config, folder) for folder in folders]
    from ctrkit.analysis import check_same_rows

    for folder, found in zip(folders[1:], scores[1:], strict=True):
        check_same_rows(scores[0], found, names=(folders[0].name, folder.name))
    letters = [chr(ord("A") + place) if place < 26 else f"R{place + 1}" for place in range(len(folders))]
    say("\n".join(f"  {letter}  {folder.name}" for letter, folder in zip(letters, folders, strict=True)))
    say()
    settings = differing_settings(folders)
    say(_aligned([["setting", *letters], *settings]) if settings else "  the configurations are the same")
    for line in differing_surroundings(folders, letters):
        say(f"  {line}")
    say()
    say(f"part {scores[0].part}, {len(scores[0].labels):,} rows")
    say(_aligned(_metric_rows(scores, letters)))
    drawn = "" if scores[0].groups is None else ", groups of rows (users) drawn together"
    say(f"  * significant at 95%: paired on the same rows{drawn}; differences are against {letters[0]}")
    if len(folders) > 2:
        say(f"  {len(folders) - 1} comparisons: take 0.05 / {len(folders) - 1} for p to be as sure of all at once")


def scored_part(config: DictConfig, run_dir: Path) -> ScoredPart:
    """The run's scores of `config.part`, made now where there are none."""
    from ctrkit.analysis import ScoredPart

    part = check_part(config.part)
    try:
        return ScoredPart.load(run_dir, part)
    except ArtifactError:
        own = as_trained(config, run_dir)
        own.part = part
        evaluate_run(own, run_dir)
        return ScoredPart.load(run_dir, part)


def differing_settings(folders: list[Path]) -> list[list[str]]:
    """`[key, value of the first run, of the second, …]` of each setting that is not the same in all.

    `model.seed` and the like, which follow `seed`, are told by that alone.
    """
    from ctrkit.tracking.location import without_password
    from ctrkit.tracking.parameters import flatten

    flat = [flatten(without_secrets(plain(run_config(folder)))) for folder in folders]
    told: dict[str, list[str]] = {}
    for key in sorted(dict.fromkeys(key for one in flat for key in one), key=lambda key: "." in key):
        values = [without_password(str(one[key])) if key in one else ABSENT for one in flat]
        above = told.get(key.rpartition(".")[2]) if "." in key else None
        if key.split(".")[0] not in PLACES and len(set(values)) > 1 and values != above:
            told[key] = values
    return [[key, *values] for key, values in told.items()]


def differing_surroundings(folders: list[Path], letters: list[str]) -> list[str]:
    """What else was not the same: index, commit, versions, machine."""
    from ctrkit.commands.reproduction import surroundings

    origins = [read(folder / "origin.json") or {} for folder in folders]
    states = [read(folder / "run.json") or {} for folder in folders]
    lines = []
    for place in range(1, len(folders)):
        versus = f"{letters[place]} against {letters[0]}: "
        if states[0].get("fingerprint") != states[place].get("fingerprint"):
            lines.append(versus + "another feature index, of the same rows")
        elif states[0].get("records") != states[place].get("records"):
            lines.append(versus + "other training records")
        first, other = (origins[one].get("environment") for one in (0, place))
        if first and other:
            lines += [versus + text.replace("then,", "before,") for text in surroundings(first, other)]
    return lines


def differences(first: ScoredPart, second: ScoredPart) -> dict[str, Difference]:
    """Every metric of `second` minus that of `first`."""
    from ctrkit.analysis import metric_differences

    return metric_differences(first.labels, first.scores, second.scores, first.weights, first.groups)


def _metric_rows(scores: list[ScoredPart], letters: list[str]) -> list[list[str]]:
    from ctrkit.metrics import summarize

    found = [summarize(one.labels, one.scores, one.weights, scores[0].groups) for one in scores]
    against = [differences(scores[0], one) for one in scores[1:]]
    rows = [["metric", *letters, *(f"{letter} - {letters[0]}, 95%, p" for letter in letters[1:])]]
    for name, shown in NAMES.items():
        if name in found[0] and found[0][name] == found[0][name]:
            rows.append([shown, *(f"{one[name]:.5f}" for one in found), *(_told(one.get(name)) for one in against)])
    return rows


def _told(one: Difference | None) -> str:
    if one is None:
        return ABSENT
    star = "*" if one.is_significant else " "
    p = "<0.0001" if one.p < 1e-4 else f"{one.p:.4f}"
    return f"{one.value:+.5f}{star} ({one.low:+.5f} to {one.high:+.5f}) {p}"


def _aligned(rows: list[list[Any]]) -> str:
    widths = [max(len(str(row[place])) for row in rows) for place in range(len(rows[0]))]
    lines = ("  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)
