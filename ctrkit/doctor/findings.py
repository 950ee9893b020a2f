"""Facts against thresholds: what a person, or a scheduler, should look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ctrkit.doctor.options import DoctorOptions

CHANCE = 5.0  # Standard errors that a day's rate has to be away from the others'.


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that passed its threshold; `feature` and `period` are None where it is of the whole log."""

    check: str
    text: str
    value: float
    threshold: float
    feature: str | None = None
    period: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def findings_of(facts: Mapping[str, Any], options: DoctorOptions) -> list[Finding]:
    """What `examine` told, and where there are some the facts of `records` and of `trained` tables, judged."""
    found = [*_of_log(facts, options)]
    for name, feature in facts["features"].items():
        found += _of_feature(name, feature, facts["periods"], options)
    for name, fields in (facts.get("records") or {}).get("fields", {}).items():
        found += _of_ids(name, fields)
    for name, table in (facts.get("trained") or {}).items():
        if name not in options.ignore:
            found += _of_table(name, table, options)
    return found


def _of_log(facts: Mapping[str, Any], options: DoctorOptions) -> Iterator[Finding]:
    if _beyond(facts["duplicates"], options.duplicates):
        assert options.duplicates is not None
        text = f"{facts['duplicates']:.1%} of the rows repeat another in every column that the schema reads"
        yield Finding(check="duplicates", text=text, value=facts["duplicates"], threshold=options.duplicates)
    rates, rows = facts["label"]["by_period"], facts["periods"]["rows"]
    if options.label_change is None:
        return
    for place, typical in _judged_days(rates, rows, options.least_rows):
        rate = rates[place]
        chance = CHANCE * (max(typical * (1 - typical), 1e-9) / rows[place]) ** 0.5
        change = abs(rate - typical) / max(typical, 1e-9)
        if change > options.label_change and abs(rate - typical) > chance:
            day = facts["periods"]["names"][place]
            text = f"the label rate is {rate:.2%} on {day}, on the median day {typical:.2%}"
            yield Finding(check="label_rate", text=text, value=change, threshold=options.label_change, period=day)


def _of_feature(
    name: str, facts: Mapping[str, Any], periods: Mapping[str, Any], options: DoctorOptions
) -> Iterator[Finding]:
    def finding(check: str, value: float | None, threshold: float | None, text: str, **more: Any) -> Iterator[Finding]:
        if value is not None and threshold is not None and value > threshold:
            yield Finding(check=check, text=text, value=value, threshold=threshold, feature=name, **more)

    if facts["constant"]:
        what = "is missing in every row" if facts["missing"] == 1 else "has the same value in every row"
        yield Finding(check="constant", text=f"{name} {what}", value=1.0, threshold=1.0, feature=name)
        return
    if facts["kind"] == "categorical":
        text = f"{name} has {facts['distinct']:,} values in {facts['rows']:,} rows: hardly one comes again"
        yield from finding("unique", facts["unique"], options.unique, text)
    text = f"{name} alone tells the label with an AUC of {facts['auc'] or 0:.3f} on rows that it was not learned on"
    yield from finding("leak", facts["auc"], options.leak, text)
    yield from finding(
        "missing", facts["missing"], options.missing, f"{name} is missing in {facts['missing']:.1%} of the rows"
    )
    for check, share, limit in (("missing", "missing", options.missing_jump), ("oov", "oov", options.oov_jump)):
        yield from _jumps(name, check, facts[f"{share}_by_period"], periods, limit, options.least_rows)
    oov = facts["oov"]
    yield from finding("oov", oov, options.oov, f"{oov or 0:.1%} of the values of {name} are out of vocabulary")
    is_id = options.unique is not None and (facts["unique"] or 0) > options.unique
    if facts["calendar"] or is_id:
        return
    text = f"{name} drifts: {facts['drift'] or 0:.3f} bits from the earlier to the later window"
    yield from finding("drift", facts["drift"], options.drift, text)
    text = f"{facts['unseen'] or 0:.1%} of the later window's rows have a value of {name} that no day before had"
    yield from finding("unseen", facts["unseen"], options.unseen, text)
    text = f"the later window brings {facts['growth'] or 0:.0%} new values of {name}"
    yield from finding("growth", facts["growth"], options.growth, text)


def _jumps(
    name: str,
    check: str,
    rates: Sequence[float | None] | None,
    periods: Mapping[str, Any],
    limit: float | None,
    least_rows: int,
) -> Iterator[Finding]:
    if rates is None or limit is None:
        return
    days = [(place, typical) for place, typical in _judged_days(rates, periods["rows"], least_rows)]
    above = [(float(rates[place] or 0) - typical, place, typical) for place, typical in days]
    worst = max(above, default=None)
    if worst is not None and worst[0] > limit:
        jump, place, typical = worst
        day, what = periods["names"][place], "missing" if check == "missing" else "out of vocabulary"
        several = sum(one[0] > limit for one in above)
        text = f"{name} is {what} in {rates[place]:.1%} on {day}, on the median day in {typical:.1%}"
        text += f" ({several} days like this)" if several > 1 else ""
        yield Finding(check=f"{check}_jump", text=text, value=jump, threshold=limit, feature=name, period=day)


def _judged_days(rates: Sequence[float | None], rows: Sequence[int], least: int) -> list[tuple[int, float]]:
    """Places of the periods with rows enough, each with the median rate."""
    places = [place for place, rate in enumerate(rates) if rate is not None and rows[place] >= least]
    if len(places) < 3:
        return []
    typical = float(np.median([rates[place] for place in places]))
    return [(place, typical) for place in places]


def _of_ids(name: str, facts: Mapping[str, Any]) -> Iterator[Finding]:
    if facts["out_of_range"]:
        text = f"{facts['out_of_range']:,} ids of {name} lie outside of its {facts['rows']:,} rows"
        yield Finding(check="ids", text=text, value=float(facts["out_of_range"]), threshold=0.0, feature=name)


def _of_table(name: str, facts: Mapping[str, Any], options: DoctorOptions) -> Iterator[Finding]:
    share = facts["untrained"] / facts["known"] if facts["known"] else 0.0
    if _beyond(share, options.untrained):
        assert options.untrained is not None
        text = f"{facts['untrained']:,} of the {facts['known']:,} known rows of {name} were never trained"
        yield Finding(check="untrained", text=text, value=share, threshold=options.untrained, feature=name)


def _beyond(value: float, threshold: float | None) -> bool:
    return threshold is not None and value > threshold
