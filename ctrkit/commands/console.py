"""What the verbs print: plain lines on standard output, progress apart on standard error."""

from __future__ import annotations


def say(text: str = "") -> None:
    """Print one line at once."""
    print(text.rstrip(), flush=True)  # Words for the next verb may be none.


def table(rows: list[tuple[str, str]]) -> str:
    """Two aligned columns.

    >>> print(table([("rows", "10"), ("AUC", "0.8")]))
      rows  10
      AUC   0.8
    """
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)
