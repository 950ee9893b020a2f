"""One small Spark session for a module of tests."""

from __future__ import annotations

import dataclasses
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

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
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",  # Compiled quickly, not well.
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


class InChunks:
    """The engine with chunks of so many bytes; of a vocabulary, values beyond `broadcast_values` are joined."""

    resumes: ClassVar[bool] = SparkEngine.resumes

    def __init__(self, chunk_bytes: int = 4000, broadcast_values: int = 3) -> None:
        self._chunk_bytes, self._engine = chunk_bytes, SparkEngine(SparkOptions(broadcast_values=broadcast_values))

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
        options = dataclasses.replace(options, chunk_bytes=self._chunk_bytes)
        return self._engine.run(schema, files, folder, split=split, options=options, index=index, extend=extend)
