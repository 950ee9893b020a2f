"""Compare the training speed of one network built in four ways, over the same log of Criteo's shape.

    python experiments/benchmarks/training_speed.py [--rows 1000000] [--min-counts 1 2] [--steps 40] [--rounds 5]

The network: 39 fields, 16 numbers each, 3 x 256 units, a wide part; 4,096 rows a step. Ours, under an Estimator and
under `model.fit`, reads records. So does the same network of 39 `Embedding` layers (and 39 of one number for the wide
part) with Keras' legacy Adam. The string model parses the raw log and hashes strings in its graph
(`tf.feature_column`). The ways take turns within each round, so that a noisy machine slows all of them; medians are
compared.

Legacy Adam updates every row of every table at every step, so its time grows with the tables while ours does not: a
ratio belongs to a table size. By default every value of the log has its row: 1.89M table rows, 32M weights (the usual
preprocessing of Criteo's whole log, Criteo_x1, has 2.09M). `--min-counts 2` keeps the values seen twice: 0.52M rows;
`--min-counts 1 2` measures both in one run. About ten minutes a size; the chart goes to artifacts/benchmarks/.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from bars import draw_bars

from ctrkit.datasets import criteo_shaped
from ctrkit.indexing import FeatureIndex
from ctrkit.losses import LogLoss
from ctrkit.models import wide_deep
from ctrkit.optimizers import build_optimizer
from ctrkit.records import Prepared, Records, Split, prepare
from ctrkit.schema import Schema

DIM, HIDDEN, BATCH = 16, (256, 256, 256), 4096
WARM_UP = 5  # Steps of each measurement that are not counted: tracing, first allocations.
COLUMNS = ["label", *(f"I{i}" for i in range(1, 14)), *(f"C{i}" for i in range(1, 27))]


class Speed(NamedTuple):
    """One turn of one way."""

    rows_per_second: float
    cpu_seconds_per_million_rows: float  # Of all threads; other work on the machine hardly changes it.


class StepTimes:
    """Notes the end of each step."""

    def __init__(self) -> None:
        self.ends: list[tuple[float, float]] = []

    def step(self) -> None:
        self.ends.append((time.perf_counter(), time.process_time()))

    @property
    def speed(self) -> Speed:
        """Between the end of step `WARM_UP` and the end of the last."""
        wall, cpu = (last - first for first, last in zip(self.ends[WARM_UP - 1], self.ends[-1], strict=True))
        rows = BATCH * (len(self.ends) - WARM_UP)
        return Speed(rows / wall, cpu / rows * 1e6)


class FitTimes(tf.keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.times = StepTimes()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.times.step()


class SessionTimes(tf.compat.v1.train.SessionRunHook):
    def __init__(self) -> None:
        self.times = StepTimes()

    def after_run(self, run_context: Any, run_values: Any) -> None:
        self.times.step()


def fit(model: tf.keras.Model, records: Records) -> Callable[[int], Speed]:
    """Measure a compiled model under `model.fit`."""

    def measure(steps: int) -> Speed:
        seen = FitTimes()
        batches = records.for_keras(BATCH, shuffle=True, epochs=None)
        model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=[seen])
        return seen.times.speed

    return measure


def estimate(estimator: tf.estimator.Estimator, batches: Callable[[], tf.data.Dataset]) -> Callable[[int], Speed]:
    """Measure an Estimator; the graph and the checkpoints of each call lie outside of the counted steps."""

    def measure(steps: int) -> Speed:
        seen = SessionTimes()
        estimator.train(batches, steps=steps, hooks=[seen])
        return seen.times.speed

    return measure


def fused(index: FeatureIndex) -> tf.keras.Model:
    """Ours."""
    model = wide_deep(index, dim=DIM, hidden=HIDDEN)
    model.compile(build_optimizer("adagrad", dense="adam"), LogLoss())
    return model


def layer_per_field(index: FeatureIndex) -> tf.keras.Model:
    """The same network as it is written by hand: an `Embedding` layer a field, one Adam for all."""
    ids = tf.keras.Input((index.width,), dtype=tf.int32, name="ids")
    columns = [(field, ids[:, field.start]) for field in index.fields]
    deep = [tf.keras.layers.Embedding(field.rows, DIM)(column) for field, column in columns]
    wide = [tf.keras.layers.Embedding(field.rows, 1)(column) for field, column in columns]
    x = tf.keras.layers.Concatenate()(deep)
    for units in HIDDEN:
        x = tf.keras.layers.Dense(units, "relu")(x)
    logit = tf.keras.layers.Add()([tf.keras.layers.Dense(1)(x), *wide])
    model = tf.keras.Model(ids, tf.keras.layers.Activation("sigmoid", name="ctr")(logit))
    model.compile(tf.keras.optimizers.legacy.Adam(), "binary_crossentropy")
    return model


def string_model(index: FeatureIndex, folder: Path) -> tf.estimator.Estimator:
    """Wide & Deep as TensorFlow's tutorials build it: the graph hashes strings to as many buckets as we have rows."""
    columns = []
    for field in index.fields:
        if field.boundaries:
            number = tf.feature_column.numeric_column(field.name)
            columns.append(tf.feature_column.bucketized_column(number, list(field.boundaries)))
        else:
            columns.append(tf.feature_column.categorical_column_with_hash_bucket(field.name, field.rows))
    return tf.estimator.DNNLinearCombinedClassifier(
        linear_feature_columns=columns,
        dnn_feature_columns=[tf.feature_column.embedding_column(column, DIM) for column in columns],
        dnn_hidden_units=list(HIDDEN),
        config=quiet_config(folder),
    )


def parsed(log: Path) -> tf.data.Dataset:
    """Batches of the raw log's columns, parsed by whole batches."""
    defaults: list[Any] = [0, *([0.0] * 13), *([""] * 26)]

    def columns_of(lines: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        columns = dict(zip(COLUMNS, tf.io.decode_csv(lines, defaults, field_delim="\t"), strict=True))
        return columns, columns.pop("label")

    lines = tf.data.TextLineDataset(str(log), buffer_size=1 << 20).repeat().batch(BATCH)
    return lines.map(columns_of, num_parallel_calls=tf.data.AUTOTUNE).prefetch(2)


def quiet_config(folder: Path) -> tf.estimator.RunConfig:
    return tf.estimator.RunConfig(
        model_dir=str(folder), save_checkpoints_steps=10**9, save_summary_steps=10**9, log_step_count_steps=10**9
    )


OURS, STRINGS = "ours, Estimator", "tf.feature_column on strings, Estimator"
LAYERS = "39 Embedding layers, Adam, model.fit"
WAYS = (OURS, "ours, model.fit", LAYERS, STRINGS)


def serve(way: str, work: Path, requests: Connection) -> None:
    """Build one contender in a process of its own, then measure whenever asked; converted models spoil others."""
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", module="keras")
    measure = contender(way, work)
    while steps := requests.recv():
        requests.send(measure(steps))


def contender(way: str, work: Path) -> Callable[[int], Speed]:
    prepared = Prepared.open(work / "prepared")
    index, records = prepared.index, prepared.train
    assert records is not None
    if way == "ours, model.fit":
        return fit(fused(index), records)
    if way == OURS:
        converted = tf.keras.estimator.model_to_estimator(fused(index), config=quiet_config(work / "fused"))
        return estimate(converted, lambda: by_name(records))
    if way == LAYERS:
        return fit(layer_per_field(index), records)
    return estimate(string_model(index, work / "strings"), lambda: parsed(work.parent / "log.tsv"))


def by_name(records: Records) -> tf.data.Dataset:
    """Batches as an Estimator's model takes them."""
    batches = records.dataset(BATCH, shuffle=True, epochs=None)
    return batches.map(lambda batch: ({"ids": batch["ids"]}, batch["label"])).prefetch(2)


def prepare_tables(log: Path, work: Path, min_count: int) -> str:
    """Index the log, keeping the values seen at least `min_count` times; the tables' size in words."""
    features = {
        "I{1..13}": {"kind": "numeric", "log": True},
        "C{1..26}": {"kind": "categorical", "min_count": min_count},
    }
    schema = Schema.from_dict({"format": {"kind": "tsv", "columns": COLUMNS}, "label": "label", "features": features})
    prepared = prepare(schema, log, work / "prepared", split=Split(by="order", validation=0.0, test=0.0))
    rows = sum(field.rows for field in prepared.index.fields)
    return f"{rows / 1e6:.2f}M table rows, {rows * (DIM + 1) / 1e6:.1f}M weights (min_count {min_count})"


def compare(sizes: dict[str, Path], *, steps: int, rounds: int) -> dict[tuple[str, str], list[Speed]]:
    """The turns of each way at each size."""
    context = multiprocessing.get_context("spawn")
    lines, processes = {}, []
    for size, work in sizes.items():
        for way in WAYS:
            lines[size, way], theirs = context.Pipe()
            processes.append(context.Process(target=serve, args=(way, work, theirs), daemon=True))
            processes[-1].start()
            theirs.close()
    found: dict[tuple[str, str], list[Speed]] = {key: [] for key in lines}
    for number in range(rounds + 1):
        for (size, way), line in lines.items():
            line.send(steps if number else WARM_UP + 1)  # The first turn lets every process build and settle.
            speed = line.recv()
            if number:
                found[size, way].append(speed)
                shown = f"round {number} of {rounds}: {size}: {way}: {speed.rows_per_second:,.0f} samples/s"
                print(shown, file=sys.stderr)
    for line, process in zip(lines.values(), processes, strict=True):
        line.send(0)
        process.join()
    return found


def report(size: str, found: dict[str, list[Speed]]) -> dict[str, float]:
    """Print the table of one size and return the median samples/s of each way."""
    medians = {way: Speed(*map(statistics.median, zip(*speeds, strict=True))) for way, speeds in found.items()}
    ours = medians[OURS].rows_per_second
    print(f"\n{size}\n\n| way | samples/s, median (lowest-highest) | CPU s per million | {OURS} / this |")
    print("|---|---|---|---|")
    for way, (rate, cpu) in medians.items():
        rates = [speed.rows_per_second for speed in found[way]]
        print(f"| {way} | {rate:,.0f} ({min(rates):,.0f}-{max(rates):,.0f}) | {cpu:.1f} | {ours / rate:.2f} |")
    return {way: speed.rows_per_second for way, speed in medians.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the log; more rows make larger tables")
    parser.add_argument(
        "--min-counts", type=int, nargs="+", default=[1], help="one table size each; 1 keeps all values"
    )
    parser.add_argument("--steps", type=int, default=40, help=f"steps of one turn; the first {WARM_UP} do not count")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--plot", type=Path, default=Path("artifacts/benchmarks/training_speed.png"), help="the chart")
    options = parser.parse_args()
    if options.steps <= WARM_UP or options.rounds < 1 or min(options.min_counts) < 1:
        parser.error(f"--steps must be above {WARM_UP}, --rounds and --min-counts at least 1")
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log.tsv"
        criteo_shaped(log, rows=options.rows)
        counts = sorted(set(options.min_counts))
        works = [Path(directory) / f"min_count-{count}" for count in counts]
        sizes = {prepare_tables(log, work, count): work for count, work in zip(counts, works, strict=True)}
        found = compare(sizes, steps=options.steps, rounds=options.rounds)
    medians = {size: report(size, {way: found[size, way] for way in WAYS}) for size in sizes}
    draw_bars(
        options.plot,
        {size: {way: rates[way] for way in (OURS, LAYERS, STRINGS)} for size, rates in medians.items()},
        headline=f"Training one Wide & Deep network, {BATCH:,} rows a step",
        unit="samples/s, median",
    )


if __name__ == "__main__":
    main()
