"""`ctrkit new`: lay out a project that trains at once."""

from __future__ import annotations

import os
from pathlib import Path

from ctrkit.atomic import new_directory
from ctrkit.commands.console import say
from ctrkit.commands.main import config_folder
from ctrkit.commands.own_words import own_words
from ctrkit.commands.project_files import Project, path_from, project_name
from ctrkit.commands.schema_infer import describe
from ctrkit.errors import ArtifactError, ConfigError, did_you_mean

KEYS = ("log", "label", "group", "time", "rows")
MADE_LOG = "clicks.csv"
MADE_ROWS = 100_000


def run(arguments: list[str]) -> None:
    """Look at the log, write the project, and say what to type."""
    given, names, rest = own_words(arguments, dict.fromkeys(KEYS))
    if rest:
        key = rest[0].partition("=")[0]
        raise ConfigError(f"ctrkit new takes no {key!r}.{did_you_mean(key, KEYS)}")
    if len(names) != 1:
        raise ConfigError(f"Which project? Got {len(names)} names. Type: ctrkit new NAME log=clicks.csv")
    name = project_name(os.path.basename(names[0].rstrip("/")))
    folder = Path(names[0]).parent / name
    for group in ("experiment", "schema"):
        if (config_folder() / group / f"{name}.yaml").is_file():
            raise ConfigError(f"ctrkit has an {group} {name!r} of its own. Take another name, e.g. my_{name}.")
    taken = ArtifactError(f"{folder} is there already, and is left as it is. Take another name, or remove it first.")
    try:
        with new_directory(folder) as unfinished:
            _fill(unfinished, folder, name, given)
    except FileExistsError:
        raise taken from None
    say(f"laid out {folder}; conf/schema/{name}.yaml says what the columns were taken for, and why")
    say(f"next: cd {folder} && ctrkit train")


def _fill(unfinished: Path, folder: Path, name: str, given: dict[str, str]) -> None:
    from ctrkit.sketching import sketch_schema

    if "log" in given:
        source, named = given["log"], path_from(folder, given["log"])
    else:
        source, named = str(unfinished / MADE_LOG), MADE_LOG
        _make_log(Path(source), given.get("rows", str(MADE_ROWS)))
    sketch = sketch_schema(source, label=given.get("label"), group=given.get("group"), time=given.get("time"))
    describe(sketch)
    Project(
        name=name,
        title=name.replace("_", " "),
        log=named,
        rows=sketch.rows,
        by_time=sketch.schema.time is not None,
        schema=sketch.text,
    ).write(unfinished)


def _make_log(path: Path, rows: str) -> None:
    """An ad log made on the spot, for those who have none."""
    from ctrkit.datasets import SyntheticLog, SyntheticOptions

    if not rows.isdigit() or int(rows) < 1:
        raise ConfigError(f"rows={rows}: expected a number of rows such as {MADE_ROWS}.")
    SyntheticLog(SyntheticOptions(rows=int(rows))).write(path)
    (path.parent / "truth.json").unlink(missing_ok=True)
    say(f"no log=FILE was given: made an ad log of {int(rows):,} rows")
