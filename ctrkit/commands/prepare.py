"""`ctrkit prepare`: raw log -> feature index and records."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.commands.console import say
from ctrkit.commands.extension_report import extension_table
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare_engine import engine_of, files_of_table
from ctrkit.commands.workspace import hint, plain, work_dir
from ctrkit.errors import ArtifactError, ConfigError
from ctrkit.schema import Schema

if TYPE_CHECKING:
    from ctrkit.records import Prepared


def run(config: DictConfig) -> None:
    """Prepare and say what to do next."""
    prepared = prepare_log(config)
    describe(prepared, work_dir(config))
    for line in rejection_lines(prepared):
        say(line)
    if prepared.extension is not None:
        say(f"  extends index {prepared.extension['parent'][:12]} by {prepared.extension['train_rows']:,} rows")
        say(extension_table(prepared.extension))
    say(f"next: ctrkit train {hint(config)}")


def prepare_log(config: DictConfig) -> Prepared:
    """Make the index and the records of the configured log, unless they are up to date."""
    from ctrkit.records import Prepared, prepare

    schema = schema_of(config)
    try:
        sources = log_files(config)
    except ArtifactError:
        if config.force or not (work_dir(config) / "prepared.json").exists():
            raise
        say(f"the raw log is gone; using what was prepared from it in {work_dir(config)}")
        return Prepared.open(work_dir(config))
    return prepare(
        schema,
        sources,
        work_dir(config),
        split=make(config.data.split),
        options=make(config.data.prepare),
        extend=config.data.get("extend"),
        force=bool(config.force),
        engine=engine_of(config),
    )


def rejection_lines(prepared: Prepared) -> list[str]:
    """What was left out of the log, and where it is shown; nothing where bad rows are an error."""
    rejected = prepared.rejected
    if rejected is None:
        return []
    if not rejected.rows:
        return ["  rejected   none"]
    whole = rejected.rows + sum(prepared.rows.values())
    return [
        f"  rejected   {rejected.rows:>12,} of {whole:,} rows ({rejected.rows / whole:.3%}): {rejected.summary()}",
        f"             e.g. {rejected.example()}",
        f"             more: {prepared.work_dir / 'records' / 'rejected.json'}",
    ]


def schema_of(config: DictConfig) -> Schema:
    """The configured schema; its log is of the format that `data.format` names, where it names one."""
    schema, kind = Schema.from_dict(plain(config.schema)), config.data.get("format")
    kind = "parquet" if config.data.get("table") is not None else kind
    return schema if kind is None else dataclasses.replace(schema, format=schema.format.of_kind(str(kind)))


def log_files(config: DictConfig) -> list[Path]:
    """The raw log's files, built first where the configuration says how.

    Raises `ArtifactError` when a file is absent, `ConfigError` when none is named.
    """
    if config.data.get("table") is not None:
        return files_of_table(config, schema_of(config).columns)
    if config.data.get("build") and config.data.get("path") is None:
        built = make(config.data.build, out=work_dir(config) / "log")
        return [Path(path) for path in (built if isinstance(built, list | tuple) else [built])]
    path = plain(config.data)["path"]
    if path is None:
        raise ConfigError("No log is named. Type data.path=FILE, e.g. data.path='logs/*.csv'.")
    files: list[Path] = []
    for pattern in [path] if isinstance(path, str) else path:
        found = sorted(Path(p) for p in _glob(str(pattern)))
        if not found:
            raise ArtifactError(
                f"No log at {pattern} (from {Path.cwd()}). Type data.path=FILE"
                + (", or set CTRKIT_DATA to the folder that holds it." if "data/" in str(pattern) else ".")
            )
        files += found
    return files


def _glob(pattern: str) -> list[str]:
    import glob

    return glob.glob(pattern, recursive=True) or ([pattern] if Path(pattern).exists() else [])


def describe(prepared: Any, folder: Path) -> None:
    """Print rows per part and the size of the index."""
    index = prepared.index
    for part in ("train", "validation", "test"):
        records = getattr(prepared, part)
        if records is not None:
            say(f"  {part:<11}{records.rows:>12,} rows, label rate {records.label_rate:.4f}")
    rows = sum(field.rows for field in index.fields if field.table == field.name)
    say(f"  index      {rows:>12,} embedding rows, {len(index.fields)} features, {index.width} columns")
    say(f"  {folder}, fingerprint {index.fingerprint[:12]}")
