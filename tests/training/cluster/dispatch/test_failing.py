"""A role that gives the training up, and one that stays away."""

from __future__ import annotations

from pathlib import Path

from ctrkit.training.cluster.dispatch.client import DispatchClient
from ctrkit.training.cluster.dispatch.decisions import Dispatch
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.options import DispatchOptions
from ctrkit.training.cluster.dispatch.service import serve_dispatch


def test_what_a_worker_gave_up_for_is_known_to_the_chief_and_ends_all(tmp_path: Path) -> None:
    with (
        serve_dispatch(tmp_path, Ledger(20, lease=4), fingerprint="f") as dispatch,
        DispatchClient(tmp_path, "worker", 0) as one,
        DispatchClient(tmp_path, "worker", 1) as other,
    ):
        dispatch.set_ready(0)
        for client in (one, other):
            client.join()
            assert client.step() == "go"
        assert dispatch.failure is None
        one.fail("The loss became nan at step 3.")
        other.fail("The loss became nan at step 4.")
        assert dispatch.failure == "worker-0: The loss became nan at step 3."  # The first.
        assert dispatch.end == {"status": "failed", "reason": dispatch.failure}
        assert other.step() == "stop"


def test_only_workers_that_are_lost_for_so_long_are_called_gone() -> None:
    dispatch = Dispatch(Ledger(20, lease=4), options=DispatchOptions(lost_after=0.05))
    dispatch.set_ready(0)
    for role, index in (("worker", 0), ("evaluator", 0)):
        DispatchClient.local(dispatch, role, index).join()
    member = dispatch._state.roster.find("worker", 0)
    assert member is not None
    assert dispatch.lost_longer_than(0.0) == []  # Heard of just now.
    for each in dispatch._state.roster:
        each.process = None  # No process of this machine that could be seen to live.
        each.heard -= 10
    dispatch._state.roster._looked -= 10
    assert dispatch.lost_longer_than(5.0) == ["worker-0"]
    assert dispatch.lost_longer_than(60.0) == []
