"""A page in one file: the style inside, no script, nothing fetched from anywhere."""

from __future__ import annotations

from importlib.resources import files

from ctrkit.card.markup import Cell, Markup, element

# Nothing may be fetched or run, whatever text of a log found its way into the page.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def sheet(title: str, *body: Cell) -> str:
    """The HTML of a whole page with that title."""
    style = Markup(files("ctrkit.card").joinpath("style.css").read_text(encoding="utf-8"))
    metas = Markup(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    )
    page = element(
        "html",
        element("head", metas, element("title", title), element("style", style)),
        element("body", element("main", *body)),
        lang="en",
    )
    return f"<!doctype html>\n{page.html}\n"
