"""Write a sketched schema as YAML for a person to read and to mend, with the reason of each choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

_WIDEST = 120  # Characters of a line, where the reason allows it.


@dataclass(frozen=True, kw_only=True)
class Line:
    """`key: value # why`."""

    key: str
    value: Any
    why: str

    def text(self, indent: int = 0) -> str:
        """One line, or the reason above where it is long."""
        plain = f"{' ' * indent}{_flow(self.key)}: {_flow(self.value)}"
        whole = f"{plain} # {_one_line(self.why)}" if self.why else plain
        return whole if len(whole) <= _WIDEST else f"{' ' * indent}# {_one_line(self.why)}\n{plain}"


def schema_text(title: Sequence[str], roles: Sequence[Line], features: Sequence[Line], out: Sequence[Line]) -> str:
    """The file. `out` are the columns that were left out."""
    lines = [f"# {_one_line(line)}" for line in title]
    lines += [role.text() for role in roles]
    lines += ["features:", *(feature.text(2) for feature in features)]
    if out:
        lines += ["# Left out:", *(f"#   {_one_line(one.key)}: {_one_line(one.why)}" for one in out)]
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _one_line(text: str) -> str:
    return "".join(" " if ord(letter) < 32 else letter for letter in text)
