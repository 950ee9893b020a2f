"""The page of a run's card: whole without anything but itself, whatever a run's texts hold."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import Any

import pytest

from ctrkit.card import card_page

NASTY = "<script>alert('&amp;')</script>\"><img src=http://evil/x onerror=y>"
PNG = b"\x89PNG\r\n\x1a\n not really"
CARD: dict[str, Any] = {
    "run": "20261123-101500-wide_deep",
    "name": "ads",
    "model": "wide_deep",
    "question": "Does a wider table help?",
    "experiment": "quickstart",
    "status": "finished",
    "started": "2026-11-23 10:15:00 UTC",
    "training": {"steps": 1260, "best_step": 1000, "stopped_because": "early_stopping", "rows": 64000, "seconds": 250.0,
                 "samples_per_second": 42750.9, "metrics": {"auc": 0.7766}},
    "evaluations": {
        "test": {
            "part": "test",
            "metrics": {"auc": 0.76807, "log_loss": 0.37166, "pcoc": 0.96088, "rows": 4000},
            "intervals": {"auc": [0.749, 0.7864], "log_loss": [0.353, 0.3905], "pcoc": [0.9, 1.03]},
            "drawn": "user_id",
            "slices": [
                {"feature": "device", "value": "phone", "rows": 3000, "auc": 0.77, "auc_95": [0.75, 0.79],
                 "log_loss": 0.37, "pcoc": 0.961, "pcoc_95": [0.9, 1.02]},
                {"feature": "device", "value": NASTY, "rows": 12, "auc": None, "auc_95": None,
                 "log_loss": 0.2, "pcoc": None, "pcoc_95": None},
            ],
        }
    },
    "over_seeds": {"part": "test", "runs": ["a", "b", "c"], "seeds": [0, 1, 2],
                   "metrics": {"auc": {"mean": 0.7681, "deviation": 0.001, "runs": 3, "low": 0.7651, "high": 0.7712}}},
    "promotion": {"name": "ads", "version": "3", "gates": [
        {"name": "parity", "verdict": "passed", "figure": 2e-7, "bound": "at most 1e-05", "text": "4 paths"},
        {"name": "latency", "verdict": "failed", "figure": 14.2, "bound": "at most 10 ms", "text": "4.2 ms over"}]},
    "latency": {"p50_ms": 2.25, "p99_ms": 4.75, "candidates": 100},
    "export": {"version": 2, "path": "artifacts/ads/export/2"},
    "verification": {"rows": 1000, "largest_difference": 1.2e-7, "bound": 1e-5},
    "changed": {"model.dim": {"value": 32, "default": 16}, "data.path": {"value": NASTY, "default": None}},
    "config": {"model.dim": 32, "data.path": NASTY, "training.epochs": 2},
    "data": {"fingerprint": "7e643a88b8c4ae0c", "features": 18, "index_rows": 4248, "time": "time",
             "split": {"by": "time", "within": None},
             "files": [{"path": "/logs/ads.csv", "bytes": 1_234_567, "sha256": "ab" * 32}],
             "parts": {"test": {"rows": 4000, "label_rate": 0.15875, "time": ["2026-01-01", "2026-01-31"],
                                "checksum": "cd" * 32}}},
    "environment": {"git": {"revision": "0123456789abcdef", "branch": "main", "dirty": True, "changed": ["a.py"],
                            "changed_files": 1},
                    "packages": {"tensorflow": "2.15.1"}, "machine": {"host": "vm", "cores": 2, "gpus": []}},
    "seeds": {"seed": 0},
    "tracking": {"run_id": "15d6af", "url": "http://127.0.0.1:5000/#/experiments/1/runs/15d6af"},
    "rerun": "ctrkit rerun 20261123-101500-wide_deep",
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page and the text below each `id`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.open: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "line", "circle"):
            self.open.append((tag, dict(attrs).get("id")))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("meta", "img", "line", "circle"):
            return
        assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        for name in ["", *(name for _, name in self.open if name is not None)]:
            self.texts[name] = f"{self.texts.get(name, '')} {data}"

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for one, attributes in self.tags if one == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(card_page(CARD, {"test_roc": PNG, "learning_curve": PNG + b"2"}))


def test_the_page_is_well_formed_and_tells_every_part(page: Page) -> None:
    assert page.open == []
    for section, texts in {
        "": [
            "Does a wider table help?",
            "20261123-101500-wide_deep",
            "0.7681",
            "0.7490 to 0.7864",
            "42,751",
            "4.75 ms",
        ],
        "metrics": [
            "user_id drawn again",
            "0.3717",
            "0.3530 to 0.3905",
            "Mean of 3 seeds",
            "0.7651 to 0.7712",
            "0, 1, 2",
        ],
        "slices": ["device", "phone", "3,000", "0.7700", "0.961", "0.900 to 1.020"],
        "promotion": ["parity", "passed", "latency", "failed", "14.2", "at most 10 ms", "4.2 ms over"],
        "export": ["artifacts/ads/export/2", "2.25 ms", "rows 1000", "largest difference 1.2e-07"],
        "configuration": ["experiment quickstart", "model.dim", "32", "16", "All 3 settings", "training.epochs"],
        "training": ["1,260, best weights of step 1,000", "early_stopping", "4 min 10 s"],
        "data": ["ads.csv", "1.23 MB", "abababababab", "15.88%", "2026-01-01 to 2026-01-31", "7e643a88b8c4", "by time"],
        "origin": ["0123456789ab", "on main, 1 files changed since", "a.py", "tensorflow", "seed 0", "ctrkit rerun"],
    }.items():
        for text in texts:
            assert text in page.texts[section], (section, text)


def test_what_was_changed_is_marked(page: Page) -> None:
    html = card_page(CARD, {})
    assert html.count("<mark>32</mark>") == 2  # Among the changed, and among all.
    assert "<mark>2</mark>" not in html
    assert "<s>16</s>" in html
    assert "Nothing was changed" in card_page({"run": "x", "changed": {}}, {})


def test_pictures_are_inside_and_say_what_they_show(page: Page) -> None:
    pictures = page.of("img")
    assert [one["alt"] for one in pictures] == ["ROC curve, part test", "Learning curve"]
    for one, png in zip(pictures, (PNG, PNG + b"2"), strict=True):
        head, _, data = str(one["src"]).partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(data) == png


def test_nothing_is_fetched_or_run_whatever_a_log_holds(page: Page) -> None:
    assert not page.of("script")
    assert len(page.of("img")) == 2  # None from the nasty text.
    assert NASTY in page.texts["slices"]
    assert NASTY in page.texts["configuration"]
    named = [(tag, name, str(value)) for tag, found in page.tags for name, value in found.items()]
    assert [one for one in named if one[1].startswith("on")] == []
    links = [one for one in named if one[1] in ("src", "href") and not one[2].startswith("data:")]
    assert links == [("a", "href", CARD["tracking"]["url"])]
    (policy,) = [one["content"] for one in page.of("meta") if one.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'")


def test_a_link_that_is_no_web_page_is_no_link() -> None:
    html = card_page({"run": "x", "tracking": {"run_id": "1", "url": "javascript:alert(1)"}}, {})
    assert "javascript" not in html


def test_a_run_that_has_nothing_yet_has_a_page_with_a_hint() -> None:
    page = Page(card_page({"run": "first"}, {}))
    assert page.open == []
    assert "first" in page.texts[""]
    assert "set `question: …` in the experiment's file" in page.texts[""]
    assert not page.of("section")


def test_a_metric_without_an_interval_or_a_value_is_a_dash() -> None:
    evaluation = {"part": "test", "metrics": {"auc": None, "log_loss": 0.5, "rows": 1}}
    page = Page(card_page({"run": "x", "evaluations": {"test": evaluation}}, {}))
    assert "0.5000 –" in " ".join(page.texts["metrics"].split())
    assert "AUC" not in page.texts["metrics"]


@pytest.mark.parametrize(
    ("span", "told"),
    [
        ([1704067239, 1704671977.5], "2024-01-01 00:00 to 2024-01-07 23:59"),
        ([7, 31], "7 to 31"),
        (["2026-01", "2026-02"], "2026-01 to 2026-02"),
    ],
)
def test_seconds_since_1970_are_told_as_dates(span: list[Any], told: str) -> None:
    data = {"fingerprint": "f", "time": "t", "parts": {"test": {"rows": 1, "time": span}}}
    assert told in Page(card_page({"run": "x", "data": data}, {})).texts["data"]
