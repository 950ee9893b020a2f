"""How the rows of a run are cut into tickets: a step, an epoch and a run read the rows that one machine would."""

from __future__ import annotations

import pytest

from ctrkit.training import TrainingOptions
from ctrkit.training.cluster import ClusterOptions
from ctrkit.training.cluster.share import Share
from ctrkit.training.fit import plan_of


def cut(
    prepared, *, workers: int = 1, mode: str = "async", backups: int = 0, **options
) -> tuple[Share, TrainingOptions]:
    chosen = TrainingOptions(**options)
    cluster = ClusterOptions(mode=mode, backups=backups)
    share = Share.of(prepared.train, chosen, cluster, workers, plan_of(prepared.train, chosen).steps)
    return share, chosen


def rows_of_tickets(prepared, share: Share, epochs: int) -> list[int]:
    """Rows of each ticket of the run, counted in the batches themselves."""
    batches = prepared.train.batches(share.batch_size, shuffle=True, seed=0, epochs=epochs)
    return [len(batch["ids"]) for batch in batches][: share.tickets]


def test_asynchronously_a_ticket_is_a_batch_and_an_update(prepared) -> None:
    share, options = cut(prepared, workers=3, batch_size=256, epochs=2)
    assert (share.batch_size, share.aggregated) == (256, 1)
    assert share.tickets == share.steps == plan_of(prepared.train, options).steps


@pytest.mark.parametrize("batch_size", [255, 7_000])  # 255: halves are rounded up; 7,000: more than there are rows.
@pytest.mark.parametrize(("workers", "backups", "aggregated"), [(1, 0, 1), (2, 0, 2), (3, 1, 2), (3, 0, 3)])
def test_synchronously_an_update_reads_one_batch(
    prepared, batch_size: int, workers: int, backups: int, aggregated: int
) -> None:
    share, _ = cut(prepared, workers=workers, mode="sync", backups=backups, batch_size=batch_size, epochs=2)
    rows = rows_of_tickets(prepared, share, 2)
    assert share.aggregated == aggregated
    assert sum(rows) == 2 * prepared.train.rows  # Every row of both epochs, none twice.
    assert batch_size <= share.batch_size * aggregated < batch_size + aggregated  # Rounded up.
    assert (share.steps - 1) * aggregated < len(rows) == share.tickets <= share.steps * aggregated


def test_the_last_update_of_a_log_that_does_not_divide_has_a_place_to_fill(prepared) -> None:
    rows = prepared.train.rows
    odd = next(size for size in range(600, 700) if (-(-rows // size)) % 2 == 1)
    share, _ = cut(prepared, workers=2, mode="sync", batch_size=2 * odd)
    assert share.tickets % 2 == 1
    assert share.steps == (share.tickets + 1) // 2


def test_a_limit_of_steps_is_one_of_updates(prepared) -> None:
    for mode, aggregated in [("async", 1), ("sync", 2)]:
        share, _ = cut(prepared, workers=2, mode=mode, batch_size=256, epochs=9, max_steps=5)
        assert (share.steps, share.tickets) == (5, 5 * aggregated)


def test_no_worker_takes_over_so_much_that_others_have_none(prepared) -> None:
    share, _ = cut(prepared, workers=3, batch_size=64, epochs=2)
    assert 1 <= share.lease <= share.tickets / (4 * 3)
    share, _ = cut(prepared, workers=3, batch_size=4096)  # Two tickets in all.
    assert share.lease == 1
