"""Where a chief takes up a run: which tickets count as done after a checkpoint of this or another cut of the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ctrkit.errors import ArtifactError
from ctrkit.training import TrainingOptions
from ctrkit.training.cluster import ClusterOptions
from ctrkit.training.cluster.dispatch.ledger import Lease, Ledger
from ctrkit.training.cluster.share import Share
from ctrkit.training.cluster.take_up import ledger_of
from ctrkit.training.early_stopping import EarlyStopping
from ctrkit.training.fit import plan_of
from ctrkit.training.run_state import RunState


@pytest.fixture
def ledger(prepared) -> Callable[..., Ledger]:
    """A function from the state of a run to the ledger with which a chief goes on: 38 batches of 256 rows."""

    def taken_up(
        step: int, kept: dict[str, Any] | None = None, *, mode: str = "async", workers: int = 2, **changes: Any
    ) -> Ledger:
        options = TrainingOptions(**{"batch_size": 256, "epochs": 2, **changes})
        steps = plan_of(prepared.train, options).steps
        share = Share.of(prepared.train, options, ClusterOptions(mode=mode), workers, steps)
        state = RunState(EarlyStopping(metric=None, patience=None), step=step, ledger=kept)
        return ledger_of(state, share, fillers=mode == "sync")

    return taken_up


def left(ledger: Ledger) -> list[int]:
    """Tickets that a worker is given, fillers aside."""
    tickets: list[int] = []
    while (lease := ledger.lease("worker-0")) is not None and lease.first < ledger.tickets:
        tickets += range(lease.first, lease.first + lease.count)
    return tickets


def test_a_new_run_trains_every_batch(ledger: Callable[..., Ledger]) -> None:
    assert left(ledger(0)) == list(range(38))


def test_a_run_of_one_machine_goes_on_after_its_last_batch(ledger: Callable[..., Ledger]) -> None:
    assert left(ledger(10)) == list(range(10, 38))


def test_a_run_of_the_same_cut_goes_on_with_what_nobody_trained(ledger: Callable[..., Ledger]) -> None:
    kept = {"tickets": 38, "done": [[0, 10], [12, 20]], "batch_size": 256}
    assert left(ledger(18, kept)) == [10, 11, *range(20, 38)]


def test_synchronously_a_step_of_one_machine_is_a_ticket_for_each_gradient(ledger: Callable[..., Ledger]) -> None:
    assert left(ledger(10, mode="sync")) == list(range(2 * 10, 2 * 38))
    other_cut = {"tickets": 38, "done": [[0, 8], [9, 11]], "batch_size": 256}
    assert left(ledger(10, other_cut, mode="sync")) == list(range(2 * 10, 2 * 38))


def test_synchronously_there_is_always_something_to_fill_the_last_step_with(ledger: Callable[..., Ledger]) -> None:
    all_done = ledger(38, mode="sync")
    assert all_done.complete
    assert all_done.lease("worker-0") == Lease(76, 1)
    assert ledger(38).lease("worker-0") is None


def test_a_run_may_be_made_longer(ledger: Callable[..., Ledger]) -> None:
    kept = {"tickets": 38, "done": [[0, 38]], "batch_size": 256}
    assert left(ledger(38, kept, epochs=3)) == list(range(38, 57))


def test_a_run_that_went_further_than_it_may_go_now_is_refused(ledger: Callable[..., Ledger]) -> None:
    kept = {"tickets": 38, "done": [[0, 20]], "batch_size": 256}
    with pytest.raises(ArtifactError, match=r"A ledger of 10 tickets cannot have done tickets 0 to 19.*run=new"):
        ledger(20, kept, max_steps=10)
