"""Say why a configuration does not compose, with the nearest word that would."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException

from ctrkit.commands.known_keys import first_unknown, merge, nearest_key
from ctrkit.commands.layers import read_layer
from ctrkit.commands.main import choices, config_folder, groups
from ctrkit.errors import did_you_mean, nearest

_KEY = re.compile(r"[+~]{0,2}[\w$@/.:-]+")
_ABSENT_CHOICE = re.compile(r"Could not find '([^'/]+)/([^']+)'")
_ABSENT_GROUP = re.compile(r"Could not override '([^'@]+)")


def explain(error: BaseException, overrides: list[str]) -> str:
    """The reason, on one line, and what was meant."""
    reasons = [_first_line(error)]
    cause = error.__cause__
    while cause is not None:  # Hydra hides the reason here.
        first = _first_line(cause)
        if first and all(first not in known for known in reasons):
            reasons.append(first)
        cause = cause.__cause__
    text = reasons[0] + "".join(f" ({reason})" for reason in reasons[1:])
    return _unreadable(overrides) or _of_overrides(overrides, text) or f"{text}.{_of_files(text)}"


def _unreadable(overrides: list[str]) -> str:
    """The first word of the command line that Hydra's grammar has no place for."""
    for override in overrides:
        try:
            OverridesParser.create().parse_override(override)
        except (OverrideParseException, HydraException):
            key, given, value = override.partition("=")
            if not given:
                return f"Cannot read {override!r} on the command line, expected KEY=VALUE."
            if not _KEY.fullmatch(key):
                return f"Cannot read the key of {override!r}: expected names joined by dots, one key a word."
            quoted = shlex.quote(f"{key}=" + json.dumps(value, ensure_ascii=False))
            return (
                f"Cannot read the value of {override!r}: brackets and quotes come in pairs, and what else is special "
                f"to Hydra stands in quotes. For the text as it is type {quoted}"
            )
    return ""


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error).__module__.startswith("yaml"):
        return " ".join(lines)  # The place, with the file, comes after the reason.
    return lines[0].rstrip(".") if lines else ""


def _of_overrides(overrides: list[str], text: str) -> str:
    """The first word of the command line that names nothing, and the nearest that would."""
    names = groups()
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if key in names and value not in choices(key) and value not in ("null", "") and not value.startswith("{"):
            return f"No {key} {value!r}.{did_you_mean(value, choices(key))}"
    folder = config_folder()
    chosen = dict(word.split("=", 1) for word in overrides if word.split("=")[0] in names)
    known = merge(
        read_layer(file, group).tree
        for group in ("", *names)
        for file in ([folder / "config.yaml"] if not group else sorted((folder / group).glob("*.yaml")))
        if group not in ("experiment", "schema") and (group != "model" or file.stem == chosen.get("model", file.stem))
    )
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key in names or override.startswith("+") or key.startswith("hydra"):
            continue
        path = tuple(key.partition("@")[0].split("."))
        if path[0] != "schema" and first_unknown(path, known) is not None:
            return f"No key {key!r}.{nearest_key(path, known)} To add a new one type +{key}=…"
        if f"Could not override '{key}'" in text:
            return f"No key {key!r} yet. To add it type +{override}"
    return ""


def _of_files(text: str) -> str:
    """What a file's own list of defaults may have meant."""
    choice = _ABSENT_CHOICE.search(text)
    if choice is not None:
        return f"{_places(choice[1], choice[2])}{did_you_mean(choice[2], choices(choice[1]))}"
    group = _ABSENT_GROUP.search(text)
    if group is not None and nearest(group[1], groups()) is not None:
        return f"{_places(group[1], '')}{did_you_mean(group[1], groups())}"
    return ""


def _places(group: str, name: str) -> str:
    """The project's files whose lists of defaults say so."""
    written = re.compile(rf"\boverride +/?{re.escape(group)}: *{re.escape(name)}\b")
    files = sorted((Path.cwd() / "conf").rglob("*.yaml"))
    found = [str(file) for file in files if written.search(file.read_text(encoding="utf-8", errors="replace"))]
    return f" It stands in {' and '.join(found)}." if found else ""
