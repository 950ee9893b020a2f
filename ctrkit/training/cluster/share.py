"""How the rows of a run are cut into tickets: the batches that workers train, each once."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.records import Records
from ctrkit.training.cluster.options import ClusterOptions
from ctrkit.training.options import TrainingOptions


@dataclass(frozen=True, kw_only=True)
class Share:
    """What the chief cuts, and tells the others."""

    batch_size: int  # Rows of a ticket.
    tickets: int  # Of the whole run.
    steps: int  # Updates of the whole run.
    aggregated: int  # Tickets in an update.
    lease: int  # Tickets that a worker takes over at a time, at most.

    @classmethod
    def of(cls, records: Records, options: TrainingOptions, cluster: ClusterOptions, workers: int, steps: int) -> Share:
        """Cut a run of so many `steps` on one machine, for so many training tasks.

        Synchronously the gradients of an update are those of `options.batch_size` rows together, so that steps, epochs
        and learning rates mean the same as on one machine.
        """
        aggregated = cluster.aggregated(workers)
        rows = cluster.ticket_rows(options.batch_size, workers)
        tickets = min(records.steps_per_epoch(rows) * options.epochs, steps * aggregated)
        return cls(
            batch_size=rows,
            tickets=tickets,
            steps=-(-tickets // aggregated),
            aggregated=aggregated,
            lease=max(1, min(cluster.lease_rows // rows, tickets // (4 * workers))),
        )
