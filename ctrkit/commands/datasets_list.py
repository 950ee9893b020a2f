"""`ctrkit datasets list`: what is in the catalogue."""

from __future__ import annotations

from ctrkit.commands.console import say, table
from ctrkit.datasets.catalogue import CATALOGUE
from ctrkit.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Print a line for each data set."""
    if arguments:
        raise ConfigError(f"ctrkit datasets list takes no words, got {arguments[0]!r}. Type: ctrkit datasets info NAME")
    say(table([(entry.name, f"{entry.title}; {entry.rows}") for entry in CATALOGUE.values()]))
    say("`ctrkit datasets info NAME` tells more; `ctrkit datasets build NAME data.manual_dir=FOLDER` builds one.")
