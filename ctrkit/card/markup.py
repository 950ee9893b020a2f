"""HTML from plain values: everything that comes from a run is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, NamedTuple


class Markup(NamedTuple):
    """HTML that is not to be escaped again."""

    html: str


Cell = str | Markup


def markup(value: Any) -> str:
    """`value` as HTML: text is escaped, markup is not."""
    return value.html if isinstance(value, Markup) else escape(str(value))


def element(tag: str, *content: Cell, css: str = "", **attributes: str) -> Markup:
    """`<tag class="css" ...>content</tag>`."""
    named = {"class": css} if css else {}
    named |= {name.replace("_", "-"): value for name, value in attributes.items()}
    opening = "".join(f' {name}="{escape(value)}"' for name, value in named.items())
    return Markup(f"<{tag}{opening}>{''.join(map(markup, content))}</{tag}>")


def joined(parts: Iterable[Cell]) -> Markup:
    """Some pieces one after another."""
    return Markup("".join(map(markup, parts)))


def section(title: str, *content: Cell, name: str) -> Markup:
    """A part of the page with a heading; empty where there is no content."""
    if not any(markup(one) for one in content):
        return Markup("")
    return element("section", element("h2", title), *content, id=name)


def table(head: Sequence[Cell], rows: Sequence[Sequence[Cell]], *, css: str = "") -> Markup:
    """A table that scrolls by itself where a screen is narrow; empty where there is no row."""
    if not rows:
        return Markup("")
    heading = element("thead", element("tr", *(element("th", one, scope="col") for one in head))) if head else ""
    body = [element("tr", *(element("td", one) for one in row)) for row in rows]
    return element("div", element("table", heading, element("tbody", *body), css=css), css="scroll")


def facts(rows: Sequence[tuple[str, Cell | None]]) -> Markup:
    """Names with what is known of them; those of None are left out."""
    pairs = [joined([element("dt", name), element("dd", value)]) for name, value in rows if value is not None]
    return element("dl", *pairs) if pairs else Markup("")


def folded(summary: str, *content: Cell) -> Markup:
    """What most readers do not need: shown when clicked, and on paper."""
    return element("details", element("summary", summary), *content)


def image(png: bytes, *, text: str) -> Markup:
    """A picture inside the page; `text` says what it shows to who does not see it."""
    data = base64.b64encode(png).decode()
    return Markup(f'<img src="data:image/png;base64,{data}" alt="{escape(text)}">')
