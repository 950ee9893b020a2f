"""`ctrkit doctor`: doubt a log, and what was made of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import atomic_file, write_json
from ctrkit.commands.console import say
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare import log_files
from ctrkit.commands.workspace import find_run, finite, plain, run_config, runs, work_dir
from ctrkit.errors import ArtifactError
from ctrkit.schema import Schema
from ctrkit.version import __version__

if TYPE_CHECKING:
    from ctrkit.doctor import DoctorOptions
    from ctrkit.doctor.findings import Finding
    from ctrkit.records import Prepared

FOLDER, PAGE_FILE, REPORT_FILE = "doctor", "doctor.html", "doctor.json"
EXIT_FINDINGS = 3


def run(config: DictConfig) -> None:
    """Examine, write page and JSON, and say what was found.

    Raises `SystemExit` with `EXIT_FINDINGS` where something was.
    """
    from ctrkit.doctor.findings import findings_of
    from ctrkit.doctor.page import doctor_page
    from ctrkit.doctor.pictures import pictures

    options: DoctorOptions = make(config.doctor)
    report = examined(config, options)
    findings = findings_of(report, options)
    folder = work_dir(config) / FOLDER
    page = doctor_page(report, findings, pictures(report))
    told = {"status": EXIT_FINDINGS if findings else 0, "findings": [one.to_dict() for one in findings]}
    write_json(folder / REPORT_FILE, finite({**told, **report, "thresholds": plain(config.doctor)}))
    with atomic_file(folder / PAGE_FILE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    _describe(report, findings, folder)
    if findings:
        raise SystemExit(EXIT_FINDINGS)


def examined(config: DictConfig, options: DoctorOptions) -> dict[str, Any]:
    """The facts of the configured log; of its index, its records and its run, too, where there are some."""
    from ctrkit.doctor.examine import examine
    from ctrkit.records.log import log_files as files_of

    schema = Schema.from_dict(plain(config.schema))
    prepared = None if options.log_only else _prepared(config, schema)
    files = files_of(log_files(config))
    report = examine(schema, files, options, index=None if prepared is None else prepared.index)
    report |= {"name": str(config.name), "version": __version__}
    report["written"] = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if prepared is not None:
        report["fingerprint"] = prepared.fingerprint
        report["records"] = _records(prepared)
        report |= _run(config, prepared)
    return report


def _prepared(config: DictConfig, schema: Schema) -> Prepared | None:
    """What was prepared, where it fits the schema; says why not."""
    from ctrkit.records import Prepared

    if not (work_dir(config) / "prepared.json").is_file():
        if config.run is not None:
            raise ArtifactError(f"Run {config.run!r} has no index: nothing is prepared in {work_dir(config)}.")
        return None
    prepared = Prepared.open(work_dir(config))
    if prepared.index.schema.features != schema.features:
        say(f"  the index in {work_dir(config)} is of other features; examining the log alone")
        return None
    return prepared


def _records(prepared: Prepared) -> dict[str, Any]:
    """Facts of all parts together."""
    from ctrkit.doctor.records_facts import records_facts

    parts = [part for part in (prepared.train, prepared.validation, prepared.test) if part is not None]
    found = [records_facts(part, prepared.index) for part in parts]
    rows = sum(one["rows"] for one in found)
    fields = {}
    for name, first in found[0]["fields"].items():
        shares = {
            key: sum(one["rows"] * one["fields"][name][key] for one in found) / max(1, rows)
            for key in ("missing", "oov")
        }
        outside = sum(one["fields"][name]["out_of_range"] for one in found)
        fields[name] = {"rows": first["rows"], **shares, "out_of_range": outside}
    return {"rows": rows, "fields": fields}


def _run(config: DictConfig, prepared: Prepared) -> dict[str, Any]:
    """Which rows of the tables of the named run, or of the latest, were trained; nothing where there is no run."""
    if not runs(config):
        return {}
    from ctrkit.commands.train import build
    from ctrkit.doctor.trained_rows import trained_rows
    from ctrkit.training.warm_start import best_of

    run_dir = find_run(config)
    try:
        fingerprint = best_of(run_dir)[1].fingerprint
    except ArtifactError as error:
        say(f"  the tables of run {run_dir.name} are left aside: {error}")
        return {}
    if fingerprint != prepared.fingerprint:
        say(f"  the tables of run {run_dir.name} are left aside: it was trained with index {fingerprint[:12]}")
        return {}
    own = run_config(run_dir)
    return {
        "run": run_dir.name,
        "trained": trained_rows(build(own, prepared), prepared.index, run_dir, make(own.training)),
    }


def _describe(report: dict[str, Any], findings: Sequence[Finding], folder: Path) -> None:
    periods = report["periods"]
    days = f"{len(periods['names'])} days" if periods["are_days"] else f"no days ({periods['why_no_days']})"
    say(f"  {report['rows']:,} rows, {days}, label rate {report['label']['rate']:.4f}")
    width = max((len(one.check) for one in findings), default=0)
    for one in findings:
        say(f"  {one.check:<{width}}  {one.text}")
    if not findings:
        say("  nothing found")
    say(f"  {folder / PAGE_FILE}")
