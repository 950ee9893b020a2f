"""One small Spark session for a module of tests."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ctrkit.indexing import FeatureIndex
from ctrkit.records import PrepareOptions, Split
from ctrkit.records.spark.engine import SparkEngine
from ctrkit.records.spark.options import SparkOptions
from ctrkit.records.spark.session import connected
from ctrkit.schema import Schema
from tests.missing import missing

CONF = {
    "spark.sql.shuffle.partitions": 2,
    "spark.default.parallelism": 1,
    "spark.sql.adaptive.enabled": False,  # Planning and compiling take longer than these few rows.
    "spark.sql.codegen.wholeStage": False,
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.memory": "700m",
}


def needs_java() -> None:
    """Skip the test, or fail it, where there is no Java."""
    if shutil.which("java") is None:
        missing("Spark needs Java 17: apt-get install openjdk-17-jre-headless")


def session() -> Iterator[None]:
    """It is the one that engines find while the generator waits."""
    needs_java()
    with warnings.catch_warnings(), connected(SparkOptions(master="local[2,4]", conf=CONF)):
        yield


class SmallShares(SparkEngine):
    """Chunks of some rows, four of them a share; vocabularies of more than three values are joined."""

    def __init__(self) -> None:
        super().__init__(SparkOptions(broadcast_values=3))

    def run(
        self,
        schema: Schema,
        files: Sequence[Path],
        folder: Path,
        *,
        split: Split,
        options: PrepareOptions,
        index: FeatureIndex | None,
        extend: FeatureIndex | None = None,
    ) -> FeatureIndex:
        small = dataclasses.replace(options, chunk_bytes=4000)
        given: dict[str, Any] = {"split": split, "options": small, "index": index, "extend": extend}
        return super().run(schema, files, folder, **given)
