"""Print plans beside each other: each server's bytes and traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctrkit.training.cluster.placement.plan import Plan

UNITS = ("B", "kB", "MB", "GB", "TB")
SHOWN_SERVERS = 16  # Lines; of more servers the middle is left out.
NAMES = {"round_robin": "round robin", "greedy": "classic greedy", "balanced": "balanced (ours)"}


def comparison(plans: Sequence[Plan]) -> str:
    """A table of plans for the same variables: bytes (with optimizer slots) and traffic per step and worker."""
    ps = plans[0].ps
    head = " " * 14 + "".join(f"{NAMES.get(plan.strategy, plan.strategy):^24}" for plan in plans)
    lines = [head.rstrip(), f"{'server':>12}  " + f"{'held':>10}{'traffic':>12}  " * len(plans)]
    servers = (
        range(ps) if ps <= SHOWN_SERVERS else [*range(SHOWN_SERVERS // 2), None, *range(ps - SHOWN_SERVERS // 2, ps)]
    )
    for server in servers:
        if server is None:
            lines.append(f"{'…':>12}")
            continue
        cells = "".join(f"{size(p.bytes[server]):>10}{size(p.traffic[server]):>12}  " for p in plans)
        lines.append(f"{f'ps {server}':>12}  {cells}")
    cells = "".join(f"{p.imbalance_bytes:>10.2f}{p.imbalance_traffic:>12.2f}  " for p in plans)
    lines.append(f"{'largest/mean':>12}  {cells}")
    return "\n".join(line.rstrip() for line in lines)


def split_variables(plan: Plan) -> list[str]:
    """One line for each variable that the plan splits."""
    whole = {shard.item.name: shard for shard in plan.shards if shard.parts > 1}
    return [
        f"{name} ({shard.item.rows:,} rows, {size(shard.item.bytes)}) in {shard.parts} parts"
        for name, shard in whole.items()
    ]


def size(count: float) -> str:
    """Bytes with three digits and a decimal unit.

    >>> size(4_321_000_000), size(12), size(999_999)
    ('4.32 GB', '12 B', '1 MB')
    """
    power = min(len(UNITS) - 1, 0 if count < 1 else int(math.log10(float(f"{count:.2e}")) // 3))
    scaled = count / 1000**power
    return f"{scaled:,.0f} {UNITS[power]}" if scaled >= 100 else f"{scaled:.3g} {UNITS[power]}"
