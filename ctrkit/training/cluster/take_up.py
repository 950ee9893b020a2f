"""Where a chief takes up a run: the tickets done as of a checkpoint, of this or another cut of the rows."""

from __future__ import annotations

from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.share import Share
from ctrkit.training.run_state import RunState


def ledger_of(state: RunState, share: Share, *, fillers: bool) -> Ledger:
    """The ledger of a run that goes on from `state`; a run of one machine has trained its first batches.

    Raises `ArtifactError` when the state is of a longer run than `share`.
    """
    if state.ledger is not None and state.ledger["batch_size"] == share.batch_size:
        done = state.ledger["done"]
    else:
        alone = min(share.tickets, state.step * share.aggregated)  # Of another cut: as many tickets as the steps need.
        done = [[0, alone]] if alone else []
    kept = {"tickets": share.tickets, "done": done}
    return Ledger.from_dict(kept, lease=share.lease, fillers=fillers, tickets=share.tickets)
