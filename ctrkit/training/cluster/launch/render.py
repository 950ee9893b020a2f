"""Draw a running cluster: tables for a terminal, one line for a log file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ctrkit.training.cluster.launch.account import Account, RoleAccount, account
from ctrkit.training.cluster.launch.row import RoleRow

UNKNOWN = "–"
BAR_WIDTH = 24  # Characters.
COLOURS = {"lost": "red", "restarting": "red", "slow": "yellow", "starting": "cyan", "waiting": "cyan"}
DIM = ("ended", "finished", "stopping")


def render(status: Mapping[str, Any] | None, processes: Sequence[RoleRow], elapsed: float) -> RenderableType:
    """The picture of one moment.

    Args:
        status: what the cluster says of itself; None before it does. Any key may be missing.
        processes: what the launcher sees.
        elapsed: seconds since the start.
    """
    whole = account(status, processes, elapsed)
    parts: list[RenderableType] = [_progress(whole), Text(_milestones(whole)), Text(), _training(whole)]
    if any(role.serves for role in whole.roles):
        parts += [Text(), _servers(whole)]
    return Group(*parts)


def line(status: Mapping[str, Any] | None, processes: Sequence[RoleRow], elapsed: float) -> str:
    """The same moment in one line."""
    whole = account(status, processes, elapsed)
    share = "" if whole.share is None else f" {whole.share:4.0%}"
    parts = [f"cluster:{share} step {_step(whole)}", f"{_rate(whole.samples_per_second)} samples/s"]
    losses = [role.loss for role in whole.roles if role.loss is not None]
    parts += [f"loss {sum(losses) / len(losses):.4f}"] if losses else []
    parts += [f"{_time(whole.elapsed)} so far"]
    parts += [f"{_time(whole.seconds_left)} left"] if whole.seconds_left is not None else []
    parts += [_auc(whole)] if whole.auc is not None else []
    dropped = sum(role.dropped or 0 for role in whole.roles)
    parts += [f"{dropped:,} gradients dropped"] if dropped else []
    return ", ".join(parts) + "; " + _census(whole)


def _progress(whole: Account) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    for _ in range(5):
        grid.add_column(no_wrap=True)
    left = "" if whole.seconds_left is None else f"{_time(whole.seconds_left)} left"
    grid.add_row(
        Text(whole.mode or "cluster", style="bold"),
        f"step {_step(whole)}",
        ProgressBar(total=1.0, completed=whole.share or 0.0, width=BAR_WIDTH),
        UNKNOWN if whole.share is None else f"{whole.share:.0%}",
        left,
    )
    return grid


def _milestones(whole: Account) -> str:
    parts = [f"{_time(whole.elapsed)} so far", f"{_rate(whole.samples_per_second)} samples/s"]
    parts += [f"checkpoint at step {whole.checkpoint_step:,}"] if whole.checkpoint_step is not None else []
    parts += [_auc(whole)] if whole.auc is not None else []
    return " · ".join(parts)


def _auc(whole: Account) -> str:
    at = "" if whole.evaluated_step is None else f" at step {whole.evaluated_step:,}"
    return f"AUC {whole.auc:.4f}{at}"


def _training(whole: Account) -> Table:
    table = _table("role", "state", "steps/s", "samples/s", "loss", "dropped", "CPU", "memory", "restarts")
    for role in whole.roles:
        if not role.serves:
            table.add_row(
                role.name,
                _state(role),
                _decimals(role.steps_per_second, 1),
                _rate(role.samples_per_second),
                _decimals(role.loss, 4),
                UNKNOWN if role.dropped is None else f"{role.dropped:,}",
                *_process(role),
            )
    return table


def _servers(whole: Account) -> Table:
    table = _table("role", "state", "holds", "of bytes", "of traffic", "CPU", "memory", "restarts")
    for role in whole.roles:
        if role.serves:
            table.add_row(
                role.name,
                _state(role),
                _bytes(role.planned),
                _percent(role.planned_share),
                _percent(role.traffic_share),
                *_process(role),
            )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)  # All of it fits 80 columns.
    for column in columns:
        table.add_column(column, justify="left" if column in ("role", "state") else "right", no_wrap=True)
    return table


def _state(role: RoleAccount) -> Text:
    shown = "slow" if role.slow else role.state
    return Text(shown, style=COLOURS.get(shown, "dim" if shown in DIM else ""))


def _process(role: RoleAccount) -> tuple[str, str, str]:
    cpu = UNKNOWN if role.cpu is None else f"{role.cpu:.0f}%"
    return cpu, _bytes(role.memory), str(role.restarts) if role.restarts else ""


def _census(whole: Account) -> str:
    """How many do well, and who does not."""
    odd = [role for role in whole.roles if role.slow or role.state in COLOURS]
    well = sum(role not in odd and role.state not in DIM for role in whole.roles)
    parts = [f"{well} of {len(whole.roles)} roles run"]
    return ", ".join(parts + [f"{role.name} {'slow' if role.slow else role.state}" for role in odd])


def _step(whole: Account) -> str:
    done = UNKNOWN if whole.step is None else f"{whole.step:,}"
    return done if whole.steps is None else f"{done} / {whole.steps:,}"


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _decimals(value: float | None, places: int) -> str:
    return UNKNOWN if value is None else f"{value:.{places}f}"


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1%}"


def _bytes(value: float | None) -> str:
    """Decimal units, three digits.

    >>> _bytes(999), _bytes(1_234_567), _bytes(2.5e12)
    ('999 B', '1.23 MB', '2.50 TB')
    """
    if value is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{value:#.3g}".rstrip(".") + f" {unit}"
        value /= 1000
    return f"{value:.2f} TB"


def _time(seconds: float) -> str:
    """Two units.

    >>> _time(59.4), _time(192), _time(7500)
    ('59 s', '3 min 12 s', '2 h 5 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
