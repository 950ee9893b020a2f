"""Raw log to feature index and records, in one call that can be killed at any moment and called again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ctrkit.atomic import remove_leftovers, write_json
from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError, SchemaError
from ctrkit.indexing import FeatureIndex
from ctrkit.indexing.extend import check_extensible
from ctrkit.lock import locked
from ctrkit.records.disk import disk_errors
from ctrkit.records.engine import INDEX, RECORDS, Engine, PrepareOptions
from ctrkit.records.local import LocalEngine
from ctrkit.records.log import Sources, log_files
from ctrkit.records.manifest import Manifest
from ctrkit.records.parent import Extend, forget, index_folder, is_own, own_parent
from ctrkit.records.reader import Records
from ctrkit.records.rejections import REJECTED_FILE, Rejections
from ctrkit.records.scratch import finish, is_finished, put_in_place, remove_scratch, scratch
from ctrkit.records.split import PARTS, Split
from ctrkit.records.times import TIMES_FILE
from ctrkit.schema import Schema
from ctrkit.version import __version__

FORMAT_VERSION = 1
ENCODING_VERSION = 1  # Of what a killed run leaves for the next; raise it when engines put other things aside.
LOCK_FILE, PREPARED_FILE = "prepare.lock", "prepared.json"
_AGAIN = "Run `ctrkit prepare` again."


class Prepared:
    """What `prepare` made: the index and the records of each part; open one with `Prepared.open(work_dir)`."""

    def __init__(self, work_dir: Path, description: dict[str, Any]) -> None:
        self.work_dir, self.description = work_dir, description

    @classmethod
    def open(cls, work_dir: str | os.PathLike[str]) -> Prepared:
        """Find the index and the records below `work_dir`.

        Raises `ArtifactError` when they are absent, half-written or not from the same run of `prepare`, and
        `CorruptRecordsError` when a shard is cut short.
        """
        work_dir = Path(work_dir)
        try:
            description = json.loads((work_dir / PREPARED_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            half = (work_dir / INDEX).exists() or (work_dir / RECORDS).exists()
            what = "was not finished: there is no" if half else "has nothing prepared: no"
            raise ArtifactError(f"{work_dir} {what} {PREPARED_FILE}. {_AGAIN}") from None
        except (OSError, ValueError) as error:
            raise ArtifactError(f"Cannot read {work_dir / PREPARED_FILE}: {error}. {_AGAIN}") from error
        if description.get("format_version") != FORMAT_VERSION:
            raise ArtifactError(
                f"{work_dir / PREPARED_FILE} has format version {description.get('format_version')}, this ctrkit reads "
                f"{FORMAT_VERSION}. {_AGAIN}"
            )
        prepared = cls(work_dir, description)
        prepared._check()
        return prepared

    def _check(self) -> None:
        found = FeatureIndex.load(self.work_dir / INDEX, verify=False).fingerprint
        if found != self.fingerprint:
            raise ArtifactError(
                f"{self.work_dir} was prepared with index {self.fingerprint[:12]}, but {self.work_dir / INDEX} is "
                f"{found[:12]}: the two are not from one run. {_AGAIN}"
            )
        for part, facts in self.description["parts"].items():
            manifest = Manifest.load(self.work_dir / RECORDS / part)
            if (manifest.fingerprint, manifest.rows) != (self.fingerprint, facts["rows"]):
                raise IndexMismatchError(
                    f"Records {manifest.directory} have {manifest.rows:,} rows of index {manifest.fingerprint[:12]}, "
                    f"expected {facts['rows']:,} of {self.fingerprint[:12]}. {_AGAIN}"
                )

    @property
    def fingerprint(self) -> str:
        """Of the index."""
        return str(self.description["fingerprint"])

    @property
    def extension(self) -> dict[str, Any] | None:
        """Where an index was extended: `parent`, `train_rows`, and growth and drift of each of the `features`."""
        return self.description.get("extension")

    @property
    def log_checksum(self) -> str:
        """SHA-256 over the log's files (names and sizes), its split and its shuffle.

        Where it is equal, row i of a part is the same row of the log, whatever index the records were made with.
        """
        inputs = self.description["inputs"]
        sources = [[Path(source["path"]).name, source["bytes"]] for source in inputs["sources"]]
        left_out = [inputs["bad_rows"]] if "bad_rows" in inputs else []
        meaning = json.dumps([sources, inputs["split"], inputs["writer"], *left_out], sort_keys=True)
        return hashlib.sha256(meaning.encode()).hexdigest()

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each part that there is."""
        return {part: facts["rows"] for part, facts in self.description["parts"].items()}

    @property
    def rejected(self) -> Rejections | None:
        """Rows that were left out; None where bad rows are an error."""
        told = self.description.get("rejected")
        return None if told is None else Rejections.from_dict(told)

    @property
    def schema(self) -> Schema:
        """The schema the log was read by."""
        return Schema.from_dict(self.description["schema"])

    @cached_property
    def index(self) -> FeatureIndex:
        """Read from the disk on first use."""
        return FeatureIndex.load(self.work_dir / INDEX)

    @cached_property
    def train(self) -> Records | None:
        """The rows to train on; None where the split gave none."""
        return self._part("train")

    @cached_property
    def validation(self) -> Records | None:
        """The rows that tell when to stop; None where the split gave none."""
        return self._part("validation")

    @cached_property
    def test(self) -> Records | None:
        """The rows held out to the end; None where the split gave none."""
        return self._part("test")

    def _part(self, part: str) -> Records | None:
        return Records.open(self.work_dir / RECORDS / part, self.index) if part in self.description["parts"] else None

    def __repr__(self) -> str:
        rows = ", ".join(f"{part} {rows:,}" for part, rows in self.rows.items())
        return f"Prepared({str(self.work_dir)!r}, {rows} rows, fingerprint {self.fingerprint[:12]})"


def prepare(
    schema: Schema,
    sources: Sources,
    work_dir: str | os.PathLike[str],
    *,
    split: Split | None = None,
    options: PrepareOptions | None = None,
    index: FeatureIndex | None = None,
    extend: Extend = None,
    force: bool = False,
    engine: Engine | None = None,
) -> Prepared:
    """Learn the feature index from the training part of a log and write the records of all parts.

    When `work_dir` already holds what the same log, schema, split and options give, it is returned at once. A run
    that was killed leaves nothing that is taken for whole; the next run of the same inputs goes on where it was.

    Args:
      schema: what the log's columns mean.
      sources: a path, a pattern such as `logs/*.tsv.gz`, a folder, or a list of them, in the order of the log.
      work_dir: gets `index/`, `records/<part>/` and, last, `prepared.json`.
      split: shares and way of the parts; by default 10% at random for each of validation and test.
      options: threads, memory, record layout, what happens to rows that do not fit the schema.
      index: use this index instead of learning one, as for a later log.
      extend: append to this index instead of learning one, as for a later log: rows and boundaries stay, new values
        that pass their threshold in the training part come after the known ones. True takes the index that lies in
        `work_dir`, which the extended one replaces. Killed and run again, it extends the same index.
      force: do it again from the start, even when it is up to date.
      engine: by default the one for this machine.

    Raises:
      LogError: the log does not fit the schema; the message names the file and the line.
      ArtifactError: a source is absent, the disk is full, or another process prepares in `work_dir`.
      SchemaError, ConfigError: the split needs a column that the schema does not name.
      IndexMismatchError: `index` or `extend` was made for other features.
    """
    split = Split() if split is None else split
    options = PrepareOptions() if options is None else options
    work_dir = Path(work_dir)
    schema = _with_split_columns(schema, split)
    _check_index(schema, index)
    if index is not None and extend is not None and extend is not False:
        raise ConfigError("prepare: got both `index` and `extend`. An index is either used as it is or extended.")
    files = log_files(sources)
    with locked(work_dir / LOCK_FILE, lambda pid: _in_use(work_dir, pid)):
        return _prepare(
            schema,
            files,
            work_dir,
            split=split,
            options=options,
            index=index,
            extend=extend,
            force=force,
            engine=engine,
        )


def _in_use(work_dir: Path, pid: str) -> ArtifactError:
    return ArtifactError(
        f"Another process ({pid}) is preparing {work_dir}. Wait for it or stop it; or take another folder (work_dir=…)."
    )


def _prepare(
    schema: Schema,
    files: Sequence[Path],
    work_dir: Path,
    *,
    split: Split,
    options: PrepareOptions,
    index: FeatureIndex | None,
    extend: Extend,
    force: bool,
    engine: Engine | None,
) -> Prepared:
    inputs = _inputs(schema, files, split, options, index)
    for name in (INDEX, RECORDS, PREPARED_FILE):
        remove_leftovers(work_dir / name)
    there = _there(work_dir)
    known = {} if there is None else there.description["inputs"]
    same = {key: value for key, value in known.items() if key != "extend"} == inputs  # Of an extension, too.
    own = is_own(extend, work_dir)
    if (
        there is not None
        and same
        and not force
        and (own or extend is None or extend is False)
        and not (own and "extend" not in known)
    ):
        return _up_to_date(there, options)
    parent = _parent(extend, work_dir, schema, there, again=known.get("extend") if same else None)
    inputs |= {} if parent is None else {"extend": parent.fingerprint}
    if there is not None and not force and known == inputs:
        return _up_to_date(there, options)
    engine = LocalEngine() if engine is None else engine
    started = time.monotonic()
    with (
        disk_errors(work_dir),
        scratch(work_dir, _key(inputs, engine), anew=force or not engine.resumes) as folder,
    ):
        if not is_finished(folder, work_dir):
            more = {} if parent is None else {"extend": parent}  # An engine need not be able to.
            engine.run(schema, files, folder, split=split, options=options, index=index, **more)
            if {**inputs, **_inputs(schema, files, split, options, index)} != inputs:
                raise ArtifactError(
                    f"The log changed while it was read ({files[0]}, …). Run it again when its writer is done."
                )
            finish(folder)
        if not own:
            forget(work_dir, lambda copy: copy.rename(folder / "old-parent"))
        put_in_place(folder, work_dir, PREPARED_FILE)
        write_json(work_dir / PREPARED_FILE, _describe(schema, work_dir, inputs, time.monotonic() - started))
    return Prepared.open(work_dir)


def _up_to_date(there: Prepared, options: PrepareOptions) -> Prepared:
    """What is there already, unless more of it was rejected than is now allowed."""
    remove_scratch(there.work_dir)
    rejected = there.rejected
    if rejected is not None:
        options.rejection.check(rejected, sum(there.rows.values()))
    return there


def _key(inputs: dict[str, Any], engine: Engine) -> str:
    """Runs of the same inputs by the same program may take over what another left unfinished."""
    meaning = json.dumps([inputs, type(engine).__name__, __version__, ENCODING_VERSION], sort_keys=True)
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def _there(work_dir: Path) -> Prepared | None:
    try:
        return Prepared.open(work_dir)
    except ArtifactError:
        return None


def _parent(
    extend: Extend, work_dir: Path, schema: Schema, there: Prepared | None, *, again: str | None
) -> FeatureIndex | None:
    """The index to extend; `again` is the fingerprint of the parent of the same extension that lies there already."""
    if extend is None or extend is False:
        return None
    if is_own(extend, work_dir):
        parent, where = own_parent(work_dir, prepared=there is not None, again=again), work_dir / INDEX
    elif isinstance(extend, FeatureIndex):
        parent, where = extend, Path("given")
    else:
        assert not isinstance(extend, bool)
        where = index_folder(Path(extend))
        parent = FeatureIndex.load(where)
    check_extensible(schema, parent, where)
    return parent


def _with_split_columns(schema: Schema, split: Split) -> Schema:
    if split.by == "time" and schema.time is None:
        raise SchemaError(
            "split.by is 'time', but the schema names no time column. Add `time: COLUMN`, or use split.by=order."
        )
    if split.within is not None and split.within not in schema.columns:
        raise ConfigError(
            f"split.within: {split.within!r} is no column that the schema reads. Name it as `group: {split.within}`, "
            f"or use one of {', '.join(map(repr, schema.columns))}."
        )
    return schema


def _check_index(schema: Schema, index: FeatureIndex | None) -> None:
    if index is None:
        return
    ours, theirs = schema.to_dict(), index.schema.to_dict()
    names = {
        n for n in {**ours["features"], **theirs["features"]} if ours["features"].get(n) != theirs["features"].get(n)
    }
    if names or schema.ordered != index.schema.ordered or schema.format.missing != index.schema.format.missing:
        what = f"features {sorted(names)}" if names else "the features' order or the spellings of `missing`"
        raise IndexMismatchError(
            f"The given index was made for another schema: {what} differ. Use that index's schema, or leave out "
            "`index` to learn a new one."
        )


def _inputs(
    schema: Schema, files: Sequence[Path], split: Split, options: PrepareOptions, index: FeatureIndex | None
) -> dict[str, Any]:
    """What the output depends on; equal inputs give equal output."""
    states = [(path, path.stat()) for path in files]
    return {
        "sources": [
            {"path": str(path.resolve()), "bytes": state.st_size, "mtime_ns": state.st_mtime_ns}
            for path, state in states
        ],
        "schema": schema.to_dict(),
        "split": dataclasses.asdict(split),
        "writer": dataclasses.asdict(options.writer),
        "index": None if index is None else index.fingerprint,
        **({"bad_rows": options.bad_rows} if options.bad_rows != "fail" else {}),  # Older folders do not tell it.
    }


def _describe(schema: Schema, work_dir: Path, inputs: dict[str, Any], seconds: float) -> dict[str, Any]:
    index = FeatureIndex.load(work_dir / INDEX, verify=False)
    parts: dict[str, dict[str, Any]] = {}
    try:
        times = json.loads((work_dir / RECORDS / TIMES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        times = {}  # An engine need not tell them.
    for part in PARTS:
        if (work_dir / RECORDS / part).exists():
            manifest = Manifest.load(work_dir / RECORDS / part)
            parts[part] = {"rows": manifest.rows, "label_rate": manifest.label_sums[0] / max(1, manifest.rows)}
            if part in times:
                parts[part]["time"] = times[part]
    extension = index.statistics.get("extension") if "extend" in inputs else None
    rejected = None
    if (work_dir / RECORDS / REJECTED_FILE).exists():
        rejected = json.loads((work_dir / RECORDS / REJECTED_FILE).read_text(encoding="utf-8"))
    return {
        "format_version": FORMAT_VERSION,
        "fingerprint": index.fingerprint,
        **({} if extension is None else {"extension": extension}),
        **({} if rejected is None else {"rejected": rejected}),
        "seconds": round(seconds, 3),
        "parts": parts,
        "schema": schema.to_dict(),
        "inputs": inputs,
    }
