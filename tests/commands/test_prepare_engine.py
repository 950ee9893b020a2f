"""Which engine the command line chooses, and what it says of a choice that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.prepare import log_files, schema_of
from ctrkit.commands.prepare_engine import engine_of, files_of_table, spark_options
from ctrkit.errors import ConfigError
from ctrkit.records import SparkEngine, SparkOptions


def config(*words: str) -> Any:
    return load_config(["schema=adult", "data=files", "name=x", *words])


def test_the_local_engine_is_the_default_and_a_slip_is_told() -> None:
    assert engine_of(config("data.path=x")) is None
    with pytest.raises(ConfigError, match=r"data\.engine: unknown engine 'sparc'\. Did you mean 'spark'\?"):
        engine_of(config("data.path=x", "data.engine=sparc"))


def test_settings_of_spark_are_given_with_dots_or_below_one_another() -> None:
    words = ("data.engine=spark", "data.path=x", 'data.spark.master="local[3]"', "data.spark.broadcast_values=9")
    found = engine_of(config(*words, "data.spark.conf={spark.executor.memory: 8g, spark.ui.enabled: true}"))
    conf = {"spark.executor.memory": "8g", "spark.ui.enabled": True}
    assert found == SparkEngine(SparkOptions(master="local[3]", conf=conf, broadcast_values=9))
    below = config(*words, "data.spark.conf={spark: {executor: {memory: 8g}}}")
    assert spark_options(below).conf == {"spark.executor.memory": "8g"}
    assert spark_options(config("data.path=x")) == SparkOptions()


def test_a_table_needs_spark_and_is_parquet(tmp_path: Path) -> None:
    words = ("data.table=ads.clicks", "data.path=null", f"work_dir={tmp_path}")
    with pytest.raises(
        ConfigError, match=r"data\.table=ads\.clicks is read through Spark's catalogue\. Add data\.engine"
    ):
        log_files(config(*words))
    assert schema_of(config(*words)).format.kind == "parquet"
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "part-0.parquet").touch()  # It was unloaded before.
    assert files_of_table(config(*words, "data.engine=spark"), ("x",)) == [tmp_path / "table" / "part-0.parquet"]
