"""The gates of a promotion, each a function of figures that were measured elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from ctrkit.promotion.gate import Gate, judged, skipped

FIRST = "there is no {to} yet to compare with"
SHOWN = 3  # Slices out of bounds that are named.


class Difference(Protocol):
    """A metric of the candidate minus that of the champion on the same rows, with its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def parity_gate(verification: Mapping[str, Any], *, digest: str) -> Gate:
    """Whether every path gave the scores of the Keras model, for this very export.

    Args:
        verification: what `ctrkit verify` wrote.
        digest: `directory_checksum` of the export.
    """
    bound = f"at most {verification['bound']:.0e} on every path"
    if verification.get("digest") != digest:
        return judged(
            "parity", False, figure=None, bound=bound,
            text=f"the verification is of another export ({str(verification.get('digest'))[:12]}, expected "
            f"{digest[:12]}); type `ctrkit verify`",
        )  # fmt: skip
    if not verification["passed"]:
        return judged("parity", False, figure=None, bound=bound, text=verification["error"])
    largest = float(verification["largest_difference"])
    text = f"largest difference {largest:.1e} on {len(verification['paths'])} paths, {verification['rows']:,} rows"
    return judged("parity", largest <= verification["bound"], figure=largest, bound=bound, text=text)


def comparison_gate(
    name: Literal["auc", "log_loss"],
    difference: Difference | None,
    *,
    against: str,
    rows: int = 0,
    margin: float | None = None,
    why_not: str | None = None,
) -> Gate:
    """Whether a metric is not worse than the champion's beyond the interval of their difference.

    Args:
        difference: candidate minus champion; None where they could not be compared.
        against: the champion, for people.
        margin: the largest loss that the interval may hold; None: it has to reach 0.
        why_not: why there is no difference; None where there is no champion.
    """
    title, better = ("AUC", 1) if name == "auc" else ("log loss", -1)
    bound = f"{title} not worse beyond the interval" + ("" if margin is None else f", nor by more than {margin:g}")
    if difference is None:
        if why_not is None:
            return skipped(name, bound=bound, text=FIRST.format(to="champion"))
        return judged(name, False, figure=None, bound=bound, text=f"cannot compare with {against}: {why_not}")
    found = (
        f"{difference.value:+.5f} [{difference.low:+.5f}, {difference.high:+.5f}] against {against} on the same "
        f"{rows:,} rows"
    )
    if math.isnan(difference.value):
        return judged(
            name, False, figure=None, bound=bound, text=f"{title} is not defined on these {rows:,} rows: one class only"
        )
    best, worst = (difference.high, difference.low) if better > 0 else (-difference.low, -difference.high)
    if best < 0:
        text = f"{title} {found}: worse by at least {-best:.5f}"
        return judged(name, False, figure=difference.value, bound=bound, text=text)
    if margin is not None and worst < -margin:
        text = f"{title} {found}: may be worse by {-worst:.5f}, {-worst - margin:.5f} more than allowed"
        return judged(name, False, figure=difference.value, bound=bound, text=text)
    return judged(name, True, figure=difference.value, bound=bound, text=f"{title} {found}")


def calibration_gate(pcoc: float, interval: tuple[float, float] | None, bounds: tuple[float, float]) -> Gate:
    """Whether predicted over observed clicks of all rows can lie within `bounds`: its interval reaches them."""
    bound = _within(bounds)
    if math.isnan(pcoc):
        return judged("calibration", False, figure=None, bound=bound, text="there is no click among the rows")
    low, high = (pcoc, pcoc) if interval is None else interval
    text = f"predicted over observed clicks {pcoc:.3f} [{low:.3f}, {high:.3f}]"
    beyond = _beyond(low, high, bounds)
    if beyond > 0:
        text += f", {beyond:.3f} out of bounds"
    return judged("calibration", beyond <= 0, figure=pcoc, bound=bound, text=text)


def slices_gate(slices: Sequence[Mapping[str, Any]], bounds: tuple[float, float], *, clicks: int) -> Gate:
    """Whether every slice of at least so many `clicks` can be calibrated within `bounds`.

    Each slice is a mapping with `feature`, `value`, `clicks`, `pcoc` and `pcoc_95`, two bounds. The figure is the PCOC
    of the slice that is furthest from 1.
    """
    bound = f"{_within(bounds)} in every slice of {clicks} clicks or more"
    judgeable = [one for one in slices if one["clicks"] >= clicks and one["pcoc"] is not None]
    if not judgeable:
        return skipped("slices", bound=bound, text=f"none of {len(slices)} slices has {clicks} clicks")
    furthest = max(judgeable, key=lambda one: abs(math.log(max(one["pcoc"], 1e-9))))
    off = [(_beyond(one["pcoc_95"][0], one["pcoc_95"][1], bounds), one) for one in judgeable]
    off = sorted([pair for pair in off if pair[0] > 0], key=lambda pair: -pair[0])
    if off:
        named = "; ".join(
            f"{one['feature']}={one['value']} {one['pcoc']:.3f} "
            f"[{one['pcoc_95'][0]:.3f}, {one['pcoc_95'][1]:.3f}], {beyond:.3f} out of bounds"
            for beyond, one in off[:SHOWN]
        )
        text = f"{len(off)} of {len(judgeable)} slices: {named}" + ("; …" if len(off) > SHOWN else "")
        return judged("slices", False, figure=off[0][1]["pcoc"], bound=bound, text=text)
    text = f"{len(judgeable)} slices, the furthest {furthest['feature']}={furthest['value']} {furthest['pcoc']:.3f}"
    return judged("slices", True, figure=furthest["pcoc"], bound=bound, text=text)


def latency_gate(p99_ms: float, budget_ms: float, *, p50_ms: float, candidates: int, requests: int) -> Gate:
    """Whether the 99th percentile of a rank request's time is within the budget; both in milliseconds."""
    text = f"p99 {p99_ms:.2f} ms, p50 {p50_ms:.2f} ms to rank {candidates} candidates ({requests} requests)"
    if not p99_ms <= budget_ms:
        text += f", {p99_ms - budget_ms:.2f} ms over"
    return judged("latency", p99_ms <= budget_ms, figure=p99_ms, bound=f"p99 at most {budget_ms:g} ms", text=text)


def index_gate(fingerprint: str, held: str | None, *, why_no_extension: str | None, allow_new: bool) -> Gate:
    """Whether clients that hold the champion's index can go on with it.

    Args:
        fingerprint: of the candidate's index.
        held: of the champion's; None where there is no champion.
        why_no_extension: why the candidate's is not the champion's with more values behind; None where it is.
        allow_new: pass nevertheless.
    """
    bound = "the champion's index, or an extension of it"
    if held is None:
        return skipped("index", bound=bound, text=f"{FIRST.format(to='champion')}; index {fingerprint[:12]}")
    if fingerprint == held:
        return judged("index", True, figure=None, bound=bound, text=f"the same index, {fingerprint[:12]}")
    if why_no_extension is None:
        text = f"index {fingerprint[:12]} extends {held[:12]}: old rows keep their numbers"
        return judged("index", True, figure=None, bound=bound, text=text)
    text = f"index {fingerprint[:12]} is not {held[:12]}, which clients hold: {why_no_extension}"
    if allow_new:
        return judged("index", True, figure=None, bound=bound, text=f"{text}; allowed by promotion.allow_new_index")
    return judged(
        "index", False, figure=None, bound=bound,
        text=f"{text}. Train on the champion's index, or, where every client fetches it from the server, type "
        "promotion.allow_new_index=true",
    )  # fmt: skip


def _within(bounds: tuple[float, float]) -> str:
    return f"predicted over observed clicks from {bounds[0]:g} to {bounds[1]:g}"


def _beyond(low: float, high: float, bounds: tuple[float, float]) -> float:
    """How far an interval lies outside of the bounds; at most 0 where it reaches them."""
    return max(low - bounds[1], bounds[0] - high)
