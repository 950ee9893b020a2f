"""A table of Spark's catalogue, such as Hive's, as Parquet files that every engine reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from ctrkit.errors import LogError, did_you_mean
from ctrkit.progress import progress
from ctrkit.records.hive import files_below, partition_of
from ctrkit.records.spark.cluster import Cluster
from ctrkit.records.spark.options import SparkOptions
from ctrkit.records.spark.session import connected


def table_files(options: SparkOptions, table: str, columns: Sequence[str], unloaded: Path, *, anew: bool) -> list[Path]:
    """The Parquet files of a table in the order of its folder, partitions included.

    A table that is stored otherwise (a view, ORC, another file system) is written to the folder `unloaded` once, and
    read from there until `anew`. Raises `LogError` when there is no such table, or no such column in it.
    """
    if unloaded.is_dir() and not anew:
        return files_below(unloaded)
    with connected(options, hive=True) as cluster:
        frame = _frame(cluster, table)
        for column in columns:
            if column not in frame.columns:
                raise LogError(f"Table {table} has no column {column!r}.{did_you_mean(column, frame.columns)}")
        found = _own_files(cluster, table, frame)
        if found is None:
            with progress(f"unloading {table}", unit="rows"):
                frame.select(*columns).write.mode("overwrite").parquet(unloaded.resolve().as_uri())
            found = files_below(unloaded)
    return found


def _frame(cluster: Cluster, table: str) -> Any:
    session = cluster.session
    if session.catalog.tableExists(table):
        return session.table(table)
    database, _, name = table.rpartition(".")
    database = database or session.catalog.currentDatabase()
    known = []
    if session.catalog.databaseExists(database):
        known = [row[1] for row in session.sql(f"SHOW TABLES IN {database}").collect()]
    raise LogError(
        f"No table {table} in Spark's catalogue (database {database!r}).{did_you_mean(name, known)} Name it as "
        "data.table=DATABASE.TABLE. Spark finds Hive's metastore by hive-site.xml in SPARK_CONF_DIR or by "
        "data.spark.conf."
    )


def _own_files(cluster: Cluster, table: str, frame: Any) -> list[Path] | None:
    """The table's own files; None unless all are Parquet, on a disk, in folders that tell their partitions."""
    rows = cluster.session.sql(f"DESCRIBE TABLE EXTENDED {table}").collect()
    told = {row[0]: str(row[1]) for row in rows}
    parquet = told.get("Provider", "").lower() == "parquet" or "parquet" in told.get("Serde Library", "").lower()
    location = urlparse(told.get("Location", ""))
    if not parquet or location.scheme not in ("", "file") or told.get("Type") == "VIEW":
        return None
    root = Path(unquote(location.path))
    used = {Path(unquote(urlparse(url).path)) for url in frame.inputFiles()}
    ordered = [path for path in files_below(root) if path in used] if root.is_dir() else []
    partitions = {column.name for column in cluster.session.catalog.listColumns(table) if column.isPartition}
    whole = len(ordered) == len(used) and all(partitions <= set(partition_of(path)) for path in ordered)
    return ordered if whole and ordered else None
