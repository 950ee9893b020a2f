"""The doctor's page: one file, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctrkit.card.markup import Cell, Markup, element, image, section, table
from ctrkit.card.markup import facts as fact_list
from ctrkit.card.numbers import count
from ctrkit.card.sheet import sheet
from ctrkit.doctor.findings import Finding


def doctor_page(report: Mapping[str, Any], findings: Sequence[Finding], images: Mapping[str, bytes]) -> str:
    """Return the HTML of what `examine` told (`report`, with a `name`), judged, with pictures by caption."""
    verdict = "nothing found" if not findings else f"{len(findings)} finding" + ("s" if len(findings) > 1 else "")
    head = element(
        "header",
        element("p", " · ".join(filter(None, ("ctrkit doctor", report.get("run")))), css="kicker"),
        element("h1", f"{report.get('name') or 'log'}: {verdict}"),
        element("p", ", ".join(report["files"][:3]) + (", …" if len(report["files"]) > 3 else ""), css="run"),
    )
    figures = [
        element("figure", image(png, text=caption), element("figcaption", caption)) for caption, png in images.items()
    ]
    return sheet(
        f"{report.get('name') or 'log'} · doctor",
        head,
        section("Findings", _findings(findings), name="findings"),
        section("The log", _log(report), name="log"),
        section("Features", _features(report), name="features"),
        section("Records", _records(report.get("records")), name="records"),
        section("Tables of the run", _trained(report.get("trained")), name="tables"),
        section("Pictures", element("div", *figures, css="plots") if figures else "", name="pictures"),
        element("footer", f"ctrkit {report.get('version', '')}, written {report.get('written', '')}"),
    )


def _findings(findings: Sequence[Finding]) -> Cell:
    if not findings:
        return element("p", "Nothing passed its threshold.")
    head = ["check", "feature", "what was found", "value", "threshold"]
    rows: list[list[Cell]] = [
        [
            element("span", one.check, css="verdict failed"),
            one.feature or "",
            one.text,
            f"{one.value:.3g}",
            f"{one.threshold:.3g}",
        ]
        for one in findings
    ]
    return table(head, rows)


def _log(report: Mapping[str, Any]) -> Markup:
    periods = report["periods"]
    names, cut = periods["names"], periods["cut"]
    stretches = f"ten stretches of the log: {periods['why_no_days']}"
    return fact_list(
        [
            ("Rows", count(report["rows"])),
            ("Label", f"{report['label']['rule']}, {report['label']['rate']:.3%} positive"),
            ("Days", f"{len(names)}, {names[0]} to {names[-1]}" if periods["are_days"] else stretches),
            ("Earlier window", f"{names[0]} to {names[cut - 1]}"),
            ("Later window", f"{names[cut]} to {names[-1]}" if cut < len(names) else "none"),
            ("Duplicated rows", f"{report['duplicates']:.3%}"),
        ]
    )


def _features(report: Mapping[str, Any]) -> Markup:
    head = ["feature", "kind", "missing", "distinct", "OOV", "unseen", "growth", "drift, bits", "AUC alone"]
    rows: list[list[Cell]] = []
    for name, one in report["features"].items():
        distinct = (
            "" if one["distinct"] is None else ("~" if one["distinct_is_estimated"] else "") + count(one["distinct"])
        )
        kind = one["kind"] + (", by the calendar" if one["calendar"] else "")
        shares = [_percent(one[key]) for key in ("oov", "unseen", "growth")]
        rows.append(
            [name, kind, _percent(one["missing"]), distinct, *shares, _number(one["drift"]), _number(one["auc"])]
        )
    return table(head, rows, css="numbers")


def _records(records: Mapping[str, Any] | None) -> Cell:
    if not records:
        return ""
    rows = [
        [name, count(one["rows"]), _percent(one["missing"]), _percent(one["oov"]), count(one["out_of_range"])]
        for name, one in records["fields"].items()
    ]
    return table(["field", "rows of its table", "missing", "OOV", "ids out of range"], rows, css="numbers")


def _trained(trained: Mapping[str, Any] | None) -> Cell:
    if not trained:
        return ""
    rows = [
        [name, count(one["known"]), count(one["untrained"]), "yes" if one["oov_trained"] else "no"]
        for name, one in trained.items()
    ]
    return table(["table", "known rows", "never trained", "OOV row trained"], rows, css="numbers")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
