"""`--multirun`: a verb for every combination of values, side by side, and one table in the end."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.commands.configuration import HYDRA_VERSION_BASE, import_from_here, load_config, start_name
from ctrkit.commands.console import say
from ctrkit.commands.main import config_folder
from ctrkit.commands.sweep_job import OUTCOME_FILE, PLAN_FILE, job
from ctrkit.commands.verb import Verb
from ctrkit.commands.workspace import hint, plain
from ctrkit.errors import ConfigError, SweepError

MULTIRUN = ("-m", "--multirun")
MOST_AT_ONCE = 2  # Trainings share the cores: more of them at once end no sooner.
MEMORY_OF_ONE = 2 << 30  # Bytes that a training may take.
METRICS = ("auc", "log_loss", "grouped_auc")
SUMMARY_FILE = "summary.json"


def run_sweep(verb: Verb, words: list[str]) -> None:
    """Run all jobs. Raises `ConfigError` before any begins, `SweepError` after all ended where some failed."""
    overrides = _parse([word for word in words if word not in MULTIRUN])
    swept = {_key(one): [f"{_key(one)}={value}" for value in _values(one)] for one in overrides if _is_swept(one)}
    fixed = [str(one.input_line) for one in overrides if not _is_swept(one)]
    if not swept:
        raise ConfigError("--multirun, but nothing to run over. Type a list of values, e.g. model=wide_deep,dcn_v2")
    _refuse_one_run_for_all(verb, fixed)
    configs = _compose(fixed, list(swept.values()))  # The last one is the first job's.
    folder, options = Path(str(HydraConfig.get().sweep.dir)), configs[-1].sweep
    apart = _need_apart(configs)
    count = len(list(itertools.product(*swept.values())))
    jobs = min(count, _at_once(options.jobs))
    plan = {"verb": verb.name, "swept": [key.lstrip("+") for key in swept], "jobs": count, "apart": apart}
    plan |= {"threads": max(1, (os.cpu_count() or 1) // jobs), "pid": os.getpid()}
    write_json(folder / PLAN_FILE, plan)
    if verb.name == "train" and not apart:
        _prepare_first(configs, fixed, list(swept.values()))
    say(f"{count} jobs, {jobs} at once; all about them goes to {folder}")
    _launch([str(one.input_line) for one in overrides], folder, jobs)
    _summarize(folder, count, configs[-1], apart=apart)


def _parse(words: list[str]) -> list[Override]:
    try:
        return list(OverridesParser.create().parse_overrides(words))
    except HydraException as error:
        raise ConfigError(str(error).splitlines()[0]) from error


def _is_swept(override: Override) -> bool:
    return bool(override.is_sweep_override())


def _key(override: Override) -> str:
    return str(override.get_key_element())


def _values(override: Override) -> list[str]:
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: an interval has no list of values. Type choice(1,2,3) or range(1,4)."
        )
    return [str(value) for value in override.sweep_string_iterator()]


def _refuse_one_run_for_all(verb: Verb, fixed: list[str]) -> None:
    for word in fixed:
        key, _, value = word.partition("=")
        if verb.name == "train" and key == "run" and value not in ("new", "null", ""):
            raise ConfigError(f"{word}: all jobs of a sweep would be this one run. Leave it out; each gets a name.")


def _compose(fixed: list[str], swept: list[list[str]]) -> list[DictConfig]:
    """Each value once, the others at their first: so that a slip is told before anything runs."""
    first = [values[0] for values in swept]
    others = [[*first[:i], value, *first[i + 1 :]] for i, values in enumerate(swept) for value in values[1:]]
    return [load_config([*fixed, *words]) for words in [*others, first]]


def _need_apart(configs: list[DictConfig]) -> bool:
    """Whether jobs of one folder would prepare different records there."""
    known: dict[str, str] = {}
    for config in configs:
        meaning = json.dumps([plain(config.schema), plain(config.data)], sort_keys=True, default=str)
        if known.setdefault(str(config.work_dir), meaning) != meaning:
            return True
    return False


def _at_once(given: int | None) -> int:
    if given is not None:
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ConfigError(f"sweep.jobs={given!r}: expected how many jobs may run at once, e.g. 2.")
        return given
    import psutil

    return max(1, min(MOST_AT_ONCE, os.cpu_count() or 1, psutil.virtual_memory().available // MEMORY_OF_ONE))


def _prepare_first(configs: list[DictConfig], fixed: list[str], swept: list[list[str]]) -> None:
    """Make the records once, so that jobs which share them do not wait for each other or refuse to."""
    first = [values[0] for values in swept]
    words = [[*first[:i], value, *first[i + 1 :]] for i, values in enumerate(swept) for value in values[1:]]
    done: set[str] = set()
    for config, chosen in zip(reversed(configs), reversed([*words, first]), strict=True):
        if str(config.work_dir) not in done:
            done.add(str(config.work_dir))
            command = [sys.executable, "-m", "ctrkit.commands.main", "prepare", *fixed, *chosen]
            subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # Where it fails, its jobs say so.


def _launch(words: list[str], folder: Path, jobs: int) -> None:
    keys = {word.lstrip("+").partition("=")[0] for word in words}
    settings = {
        "hydra/launcher": "joblib",
        "hydra.launcher.n_jobs": str(jobs),
        "hydra/hydra_logging": "disabled",
        "hydra/job_logging": "disabled",
        "hydra.sweep.dir": f"'{folder}'",
    }
    if "hydra/launcher" in keys:  # Another launcher has other options.
        del settings["hydra.launcher.n_jobs"]
    own = [f"{key}={value}" for key, value in settings.items() if key not in keys or key == "hydra.sweep.dir"]
    import_from_here()
    sys.argv = ["ctrkit", "--multirun", *words, *own]
    hydra.main(version_base=HYDRA_VERSION_BASE, config_path=str(config_folder()), config_name=start_name())(job)()


def _summarize(folder: Path, count: int, config: DictConfig, *, apart: bool) -> None:
    found = [_outcome(folder / str(number)) for number in range(count)]
    write_json(folder / SUMMARY_FILE, found)
    say()
    say(_table(found))
    say(f"  {folder / SUMMARY_FILE}")
    failed = [one for one in found if one["status"] != 0]
    best = max(
        (one for one in found if "auc" in one.get("metrics", {})), key=lambda one: one["metrics"]["auc"], default=None
    )
    if best is not None:
        where = f" work_dir={Path(best['run_dir']).parents[1]}" if apart else ""
        say(f"next: ctrkit evaluate {hint(config)}{where} run={best['run']}".replace("  ", " "))
    if failed:
        reasons = "".join(f"\n  {_words(one)}: {one['error']} ({one['log']})" for one in failed)
        raise SweepError(f"{len(failed)} of {count} jobs failed; the others are done.{reasons}")


def _outcome(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / OUTCOME_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {
            "number": int(folder.name),
            "overrides": {},
            "status": 1,
            "error": "it left no outcome",
            "log": str(folder),
        }


def _words(outcome: dict[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in outcome["overrides"].items()) or f"job {outcome['number']}"


def _table(found: list[dict[str, Any]]) -> str:
    """A line for each job: its run, what is its own, and its figures on the validation part."""
    keys = list(dict.fromkeys(key for one in found for key in one["overrides"]))
    metrics = [name for name in METRICS if any(name in one.get("metrics", {}) for one in found)]
    best = max((one["metrics"]["auc"] for one in found if "auc" in one.get("metrics", {})), default=None)
    rows = [["run", *keys, *metrics, "seconds", ""]]
    for one in found:
        figures = one.get("metrics", {})
        end = "failed" if one["status"] != 0 else "best" if best is not None and figures.get("auc") == best else ""
        rows.append(
            [
                one.get("run", f"job {one['number']}"),
                *(str(one["overrides"].get(key, "")) for key in keys),
                *(f"{figures[name]:.4f}" if name in figures else "-" for name in metrics),
                f"{one['seconds']:.0f}" if "seconds" in one else "-",
                end,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
