"""YAML by PyYAML, with the reason of a setting as a comment above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ctrkit.serving.deployment.flags import Setting


def annotated(documents: Iterable[Any], settings: Iterable[Setting], head: Iterable[str]) -> str:
    """Dump the documents; above each line that starts with a setting's flag or name stands why it is so.

    Comments are all that is added to PyYAML's own text, so it parses to the same documents.
    """
    reasons = {setting.flag: setting.why for setting in settings}
    reasons |= {setting.name: setting.why for setting in settings}
    text = yaml.dump_all(list(documents), Dumper=_Plain, sort_keys=False, width=10_000, explicit_start=False)
    lines = [f"# {line}" for line in head]
    for line in text.splitlines():
        why = _reason(line, reasons)
        if why:
            lines.append(f"{line[: len(line) - len(line.lstrip())]}# {why}")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _reason(line: str, reasons: Mapping[str, str]) -> str | None:
    """The reason of the setting that this line of YAML holds: `- --flag=value`, `- name: NAME` or `NAME: value`."""
    words = line.strip()
    item = words.removeprefix("- ").removeprefix("name: ").strip("'\"")
    if words.startswith("- "):
        return reasons.get(item)
    return reasons.get(words.partition(":")[0]) if words.partition(":")[0].isupper() else None


class _Plain(yaml.SafeDumper):
    """Without anchors, and with texts of several lines as such."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Plain.add_representer(str, _text)
