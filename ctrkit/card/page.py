"""The whole page: one file, no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctrkit.card.facts import (
    data_section,
    export_section,
    gates_section,
    origin_section,
    settings_section,
    training_section,
)
from ctrkit.card.figures import metrics_section, plots_section, slices_section, tiles
from ctrkit.card.markup import element, joined
from ctrkit.card.sheet import sheet

HINT = "No question was asked: set `question: …` in the experiment's file, so that a reader knows what to look for."


def card_page(card: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """Return the HTML of a card.

    Args:
        card: the content of `card.json`; what is absent is left out.
        images: PNG files by name, e.g. `test_roc`, in the order to show them.
    """
    title = f"{card['name']} · {card['run']}" if card.get("name") else str(card["run"])
    question = card.get("question")
    head = element(
        "header",
        element("p", " · ".join(filter(None, (card.get("name"), card.get("model"), card.get("status")))), css="kicker"),
        element("h1", str(question) if question else str(card["run"])),
        element("p", str(card["run"]) if question else HINT, css="run"),
    )
    body = joined(
        [
            head,
            tiles(card),
            metrics_section(card),
            plots_section(images),
            slices_section(card),
            gates_section(card),
            export_section(card),
            settings_section(card),
            training_section(card),
            data_section(card),
            origin_section(card),
            element("footer", f"Run card of ctrkit {card.get('version', '')}, written {card.get('written', '')}"),
        ]
    )
    return sheet(title, body)
