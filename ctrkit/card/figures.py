"""The judged rows: headline figures, metrics with their intervals, slices, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ctrkit.card.markup import Cell, Markup, element, image, joined, section, table
from ctrkit.card.numbers import between, count, figure, metric_name

SHOWN = ("auc", "grouped_auc", "log_loss", "pcoc", "label_rate", "mean_score")
PICTURES = {"roc": "ROC curve", "calibration": "Calibration", "learning_curve": "Learning curve"}
WIDTH, HEIGHT = 150, 14  # Of a slice's interval, in pixels.


def tiles(card: Mapping[str, Any]) -> Markup:
    """The figures that a reader looks for first."""
    shown: list[tuple[str, str, str]] = []
    evaluation = headline(card)
    if evaluation is not None:
        intervals = evaluation.get("intervals", {})
        for name in ("auc", "grouped_auc", "log_loss", "pcoc"):
            value = evaluation["metrics"].get(name)
            if value is not None:
                label = f"{metric_name(name)}, {evaluation['part']}"
                shown.append((label, figure(value), between(intervals.get(name))))
    else:
        for name in ("auc", "log_loss"):
            value = (card.get("training") or {}).get("metrics", {}).get(name)
            if value is not None:
                shown.append((f"{metric_name(name)}, validation", figure(value), "at the best step"))
    training = card.get("training") or {}
    if training.get("samples_per_second"):
        shown.append(("Training", count(training["samples_per_second"]), "samples a second"))
    latency = card.get("latency") or {}
    if latency.get("p99_ms") is not None:
        shown.append(("Ranking, p99", f"{latency['p99_ms']:.3g} ms", f"{latency.get('candidates', '–')} candidates"))
    return element("div", *(_tile(*one) for one in shown), css="tiles") if shown else Markup("")


def headline(card: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The evaluation that counts: of the test part, else of validation."""
    evaluations = card.get("evaluations") or {}
    for part in ("test", "validation", "train"):
        if part in evaluations:
            found: Mapping[str, Any] = evaluations[part]
            return found
    return None


def _tile(name: str, value: str, detail: str) -> Markup:
    parts = (element("div", name, css="name"), element("div", value, css="value"), element("div", detail, css="detail"))
    return element("div", *parts, css="tile")


def metrics_section(card: Mapping[str, Any]) -> Markup:
    """Every metric of every part, its interval over rows and, of several runs, over seeds."""
    content: list[Cell] = []
    seeds = card.get("over_seeds") or {}
    for part, evaluation in (card.get("evaluations") or {}).items():
        over = seeds.get("metrics", {}) if seeds.get("part") == part else {}
        head = ["Metric", "This run", f"95% interval ({evaluation.get('drawn', 'rows')} drawn again)"]
        if over:
            head += [f"Mean of {len(seeds['runs'])} seeds", "Mean of as many further seeds, 95%"]
        rows = []
        for name in SHOWN:
            value = evaluation["metrics"].get(name)
            if value is None:
                continue
            row = [metric_name(name), figure(value), between(evaluation.get("intervals", {}).get(name))]
            if over:
                one = over.get(name)
                row += ["–", "–"] if one is None else [figure(one["mean"]), between([one["low"], one["high"]])]
            rows.append(row)
        content += [
            element("h3", f"Part {part}, {count(evaluation['metrics'].get('rows'))} rows"),
            table(head, rows, css="numbers"),
        ]
    if content:
        note = "PCOC is predicted over observed clicks: 1 is calibrated, above 1 promises too many."
        content.append(element("p", note, css="note"))
    if seeds.get("runs"):
        content.append(element("p", f"Seeds {', '.join(map(str, seeds['seeds']))} of the same configuration and rows."))
    return section("Metrics", *content, name="metrics")


def slices_section(card: Mapping[str, Any]) -> Markup:
    """Each value's rows by themselves, with the interval of its AUC drawn on one axis."""
    evaluation = headline(card)
    slices: Sequence[Mapping[str, Any]] = (evaluation or {}).get("slices") or []
    if not slices or evaluation is None:
        return Markup("")
    bounds = [bound for one in slices if one["auc_95"] for bound in one["auc_95"]]
    low, high = (min(bounds), max(bounds)) if bounds else (0.0, 1.0)
    whole = evaluation["metrics"].get("auc")
    rows, last = [], None
    for one in slices:
        feature: Cell = element("strong", one["feature"]) if one["feature"] != last else ""
        last = one["feature"]
        rows.append(
            [
                feature,
                one["value"],
                count(one["rows"]),
                figure(one["auc"]),
                _bar(one["auc_95"], one["auc"], low, high, whole),
                figure(one["log_loss"]),
                figure(one["pcoc"], 3),
                between(one["pcoc_95"], 3),
            ]
        )
    line = "; the line is all rows together" if whole is not None else ""
    note = f"Intervals are 95%. AUC is drawn from {figure(low, 3)} to {figure(high, 3)}{line}."
    head = ["Feature", "Value", "Rows", "AUC", "Its interval", "Log loss", "PCOC", "Its interval"]
    return section("Slices", element("p", note), table(head, rows, css="numbers slices"), name="slices")


def _bar(bounds: Sequence[float] | None, value: float | None, low: float, high: float, whole: float | None) -> Cell:
    if bounds is None or value is None:
        return "–"

    def place(one: float) -> float:
        return 4 + (WIDTH - 8) * (one - low) / ((high - low) or 1.0)

    middle = HEIGHT / 2
    mark = ""
    if whole is not None and low <= whole <= high:
        mark = f'<line x1="{place(whole):.1f}" x2="{place(whole):.1f}" y1="0" y2="{HEIGHT}" class="whole"/>'
    ends = f'x1="{place(bounds[0]):.1f}" x2="{place(bounds[1]):.1f}" y1="{middle}" y2="{middle}"'
    return Markup(
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{between(bounds)}">{mark}'
        f'<line {ends} class="reach"/><circle cx="{place(value):.1f}" cy="{middle}" r="3"/></svg>'
    )


def plots_section(images: Mapping[str, bytes]) -> Markup:
    """The pictures, each with what it shows."""
    drawn = []
    for name, png in images.items():
        kind = next((kind for kind in PICTURES if name.endswith(kind)), None)
        part = name.removesuffix(f"_{kind}") if kind is not None and name != kind else ""
        text = f"{PICTURES[kind]}{f', part {part}' if part else ''}" if kind is not None else name.replace("_", " ")
        drawn.append(element("figure", image(png, text=text), element("figcaption", text)))
    return section("Plots", element("div", joined(drawn), css="plots"), name="plots") if drawn else Markup("")
