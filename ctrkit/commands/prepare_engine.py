"""Which engine prepares the log, and a log that is a table of Spark's catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from ctrkit.commands.instantiating import make
from ctrkit.commands.workspace import work_dir
from ctrkit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from ctrkit.records import SparkOptions
    from ctrkit.records.engine import Engine

ENGINES = ("local", "spark")
UNLOADED = "table"  # Folder in the work_dir for a table that is not stored as Parquet files.


def engine_name(config: DictConfig) -> str:
    """`local` or `spark`. Raises `ConfigError` for another word."""
    name = str(config.data.get("engine") or "local")
    if name not in ENGINES:
        raise ConfigError(f"data.engine: unknown engine {name!r}.{did_you_mean(name, ENGINES)}")
    return name


def engine_of(config: DictConfig) -> Engine | None:
    """The configured engine, None for the one of this machine."""
    if engine_name(config) == "local":
        return None
    from ctrkit.records import SparkEngine

    return SparkEngine(spark_options(config))


def spark_options(config: DictConfig) -> SparkOptions:
    """`data.spark`."""
    from ctrkit.records import SparkOptions

    chosen = config.data.get("spark")
    options: SparkOptions = SparkOptions() if chosen is None else make(chosen, _convert_="all")
    return options


def files_of_table(config: DictConfig, columns: tuple[str, ...]) -> list[Path]:
    """The Parquet files of the table that `data.table` names. Raises `ConfigError` where the engine is not Spark."""
    table = str(config.data.table)
    if engine_name(config) != "spark":
        raise ConfigError(f"data.table={table} is read through Spark's catalogue. Add data.engine=spark.")
    from ctrkit.records.spark.table import table_files

    return table_files(
        spark_options(config), table, columns, work_dir(config) / UNLOADED, anew=bool(config.get("force"))
    )
