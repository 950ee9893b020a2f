"""Turn a raw label column into 0 or 1 by a rule such as `rating >= 4`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import SchemaError

OPERATORS = (">=", "<=", "==", "!=", ">", "<", "in")
_RULE = re.compile(r"\s*(?P<column>[^\s<>=!]+)\s*(?P<operator>>=|<=|==|!=|>|<|\bin\b)\s*(?P<value>.+?)\s*\Z")


@dataclass(frozen=True, kw_only=True)
class Label:
    """The label's column and, unless the column holds 0 and 1 already, the rule for a positive.

    `<` and its like compare numbers; `==`, `!=` and `in` compare strings unless the value is a number.
    """

    column: str
    operator: str | None = None
    value: Any = None

    @classmethod
    def parse(cls, text: str) -> Label:
        """Read `clicked`, `rating >= 4`, `income == '>50K'` or `action in [buy, cart]`; else `SchemaError`.

        >>> Label.parse("rating >= 4")
        Label(column='rating', operator='>=', value=4)
        """
        found = _RULE.match(text)
        if found is None:
            if re.search(r"[<>=!]|\sin\s", text) or not text.strip():
                raise SchemaError(
                    f"Label {text!r} is neither a column nor a rule. Write `label: clicked` or `label: rating >= 4`; "
                    f"operators: {', '.join(OPERATORS)}."
                )
            return cls(column=text.strip())
        import yaml  # Takes as long as all else that reading an index imports, and most labels are no rules.

        value = yaml.safe_load(found["value"])
        operator = found["operator"]
        if operator == "in" and not isinstance(value, list):
            raise SchemaError(f"Label {text!r}: `in` takes a list, e.g. `action in [buy, cart]`.")
        if operator in (">=", "<=", ">", "<") and not isinstance(value, (int, float)):
            raise SchemaError(f"Label {text!r}: `{operator}` compares numbers, got {value!r}.")
        return cls(column=found["column"], operator=operator, value=value)

    def is_positive(self, raw: Any) -> bool:
        """Apply the rule to one present raw value: a string, a number or a boolean.

        Raises `ValueError` when the rule cannot read it; without a rule, when it is neither 0 nor 1.
        """
        if self.operator is None:
            number = float(raw)
            if number not in (0.0, 1.0):
                raise ValueError(f"{raw!r} is neither 0 nor 1")
            return number == 1.0
        if self.operator == "in":
            return any(_equal(raw, choice) for choice in self.value)
        if self.operator in ("==", "!="):
            return _equal(raw, self.value) == (self.operator == "==")
        number, limit = float(raw), float(self.value)
        return {">=": number >= limit, "<=": number <= limit, ">": number > limit, "<": number < limit}[self.operator]

    def __str__(self) -> str:
        if self.operator is None:
            return self.column
        import yaml

        value = yaml.safe_dump(self.value, default_flow_style=True).strip().removesuffix("...").strip()
        return f"{self.column} {self.operator} {value}"


def _equal(raw: Any, wanted: Any) -> bool:
    """Whether a raw value is what the rule names: as numbers when the rule names a number, else as strings."""
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        return float(raw) == wanted
    if isinstance(raw, bool) or isinstance(wanted, bool):
        return str(raw).lower() == str(wanted).lower()
    return str(raw) == str(wanted)
