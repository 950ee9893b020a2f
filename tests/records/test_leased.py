"""Reading by ticket: any cut and order of leases gives the batches that one machine reads."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ConfigError, CorruptRecordsError
from ctrkit.records import Records, RecordWriter
from tests.records.record_samples import flip_byte, write_numbered

ROWS, BATCH, EPOCHS, SEED = 1003, 24, 2, 5  # 42 batches an epoch, the last of 19 rows; 84 tickets; 8 windows.
TICKETS = 84


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Records:
    return write_numbered(tmp_path_factory.mktemp("module") / "records", ROWS)


@pytest.fixture(scope="module")
def local(records: Records) -> list[dict[str, np.ndarray]]:
    """What one machine reads."""
    return list(records.batches(BATCH, shuffle=True, seed=SEED, epochs=EPOCHS))


def leased(records: Records, leases: Iterable[tuple[int, int]], **options: Any) -> list[dict[str, np.ndarray]]:
    dataset = records.leased(BATCH, lambda: iter(leases), **{"seed": SEED, "epochs": EPOCHS, **options})
    return list(dataset.as_numpy_iterator())


def expect_batches(got: list[dict[str, np.ndarray]], local: list[dict[str, np.ndarray]], tickets: list[int]) -> None:
    assert [int(batch["ticket"]) for batch in got] == tickets
    for batch in got:
        expected = local[int(batch["ticket"]) % len(local)]
        assert set(batch) == {*expected, "ticket"}
        for name, array in expected.items():
            np.testing.assert_array_equal(batch[name], array)


@pytest.mark.parametrize("longest", [1, 5, 40, 84])
def test_leases_in_any_cut_and_order_give_the_local_batches(
    records: Records, local: list[dict[str, np.ndarray]], longest: int
) -> None:
    chance, cuts, at = random.Random(longest), [], 0
    while at < TICKETS:
        cuts.append((at, min(chance.randint(1, longest), TICKETS - at)))
        at += cuts[-1][1]
    chance.shuffle(cuts)
    expect_batches(leased(records, cuts), local, [first + k for first, count in cuts for k in range(count)])


def test_a_lease_may_cross_epochs_and_wrap_around_the_last_ticket(
    records: Records, local: list[dict[str, np.ndarray]]
) -> None:
    assert len(local) == TICKETS
    expect_batches(leased(records, [(40, 5), (82, 4), (TICKETS + 7, 1)]), local, [*range(40, 45), *range(82, 86), 91])


def test_it_reads_in_the_graph_of_an_estimators_input_function(
    records: Records, local: list[dict[str, np.ndarray]]
) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        dataset = records.leased(BATCH, lambda: iter([(3, 2), (60, 1)]), seed=SEED, epochs=EPOCHS)
        iterator = tf.compat.v1.data.make_initializable_iterator(dataset)
        following = iterator.get_next()
        got = []
        for _ in range(2):  # A session that was lost begins again, and asks for leases anew.
            session.run(iterator.initializer)
            got += [session.run(following) for _ in range(3)]
            with pytest.raises(tf.errors.OutOfRangeError):
                session.run(following)
    expect_batches(got, local, [3, 4, 60, 3, 4, 60])


def test_the_next_lease_is_not_asked_for_long_before_it_is_needed(records: Records) -> None:
    asked = []

    def leases():
        for first in range(0, TICKETS, 4):
            asked.append(first)
            yield first, 4

    batches = records.leased(BATCH, leases, seed=SEED, epochs=EPOCHS, prefetch=2).as_numpy_iterator()
    next(batches)
    time.sleep(0.3)  # Whatever works ahead has worked.
    assert len(asked) <= 2
    assert next(batches)["ticket"] == 1


def test_tensors_have_the_promised_shapes_and_types(records: Records) -> None:
    spec = records.leased(BATCH, lambda: iter(())).element_spec
    assert spec.pop("ticket") == tf.TensorSpec([], tf.int64)
    assert spec == records.dataset(BATCH, shuffle=True).element_spec


def test_an_error_of_the_leases_reaches_the_reader(records: Records) -> None:
    def leases():
        yield 0, 1
        raise RuntimeError("the chief is gone")

    batches = records.leased(BATCH, leases).as_numpy_iterator()
    with pytest.raises(tf.errors.OpError, match="the chief is gone"):
        list(batches)


def test_a_corrupt_shard_is_named(tmp_path: Path) -> None:
    records = write_numbered(tmp_path / "records", ROWS)
    flip_byte(next(records.directory.glob("shard-00003-*")), 100)
    with pytest.raises(CorruptRecordsError, match="shard-00003"), records.explained():
        leased(records, [(0, 42)])


@pytest.mark.parametrize(
    ("options", "text"),
    [({"prefetch": -1}, "prefetch: got -1"), ({"epochs": None}, "epochs: got None"), ({"epochs": 0}, "epochs: got 0")],
)
def test_options_out_of_range_are_refused(records: Records, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        leased(records, [], **options)


def test_leases_of_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no rows.*Prepare the log again"):
        write_numbered(tmp_path / "records", 0).leased(BATCH, lambda: iter(()))


@pytest.mark.slow
def test_leases_of_sixteen_batches_are_read_fast(tmp_path: Path) -> None:
    rows, width, draw = 600_000, 39, np.random.default_rng(0)
    ids = draw.integers(0, 1 << 20, (rows, width)).astype(np.int32)
    directory = tmp_path / "records"
    with RecordWriter(directory, fingerprint="f" * 64, width=width, has_weight=False, has_group=False) as writer:
        writer.write(ids, (draw.random(rows) < 0.3).astype(np.float32))
    records = Records.open(directory)
    tickets = records.steps_per_epoch(4096) * 3
    leases = [(first, min(16, tickets - first)) for first in range(0, tickets, 16)]
    random.Random(0).shuffle(leases)

    def rate(dataset: tf.data.Dataset) -> float:
        batches = iter(dataset)
        next(batches)  # Building the pipeline is not reading.
        start = time.perf_counter()
        return sum(len(batch["ids"]) for batch in batches) / (time.perf_counter() - start)

    rates = [
        (
            rate(records.leased(4096, lambda: iter(leases), epochs=3)),
            rate(records.dataset(4096, shuffle=True, epochs=3)),
        )
        for _ in range(3)
    ]
    for leased, whole in rates:
        print(f"{leased:,.0f} rows/s by leases of 16 batches of 4096, {whole:,.0f} rows/s without leases")
    best, whole = max(leased for leased, _ in rates), max(whole for _, whole in rates)
    assert best > 1e6 or best > 0.5 * whole  # A machine with other work reads slower either way.
