"""Every gate lets through what it should, and says what it refuses and how far it is off."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ctrkit.analysis import Difference
from ctrkit.promotion import (
    FAILED,
    PASSED,
    SKIPPED,
    calibration_gate,
    comparison_gate,
    index_gate,
    latency_gate,
    parity_gate,
    slices_gate,
)

DIGEST = "d" * 64
VERIFICATION: dict[str, Any] = {
    "digest": DIGEST,
    "bound": 1e-5,
    "passed": True,
    "error": None,
    "rows": 1000,
    "largest_difference": 3e-7,
    "paths": {"named": {}, "server": {}},
}


def test_parity_of_this_very_export_passes() -> None:
    gate = parity_gate(VERIFICATION, digest=DIGEST)
    assert (gate.verdict, gate.figure) == (PASSED, 3e-7)
    assert gate.text == "largest difference 3.0e-07 on 2 paths, 1,000 rows"
    assert gate.tag == "passed: largest difference 3.0e-07 on 2 paths, 1,000 rows"


def test_parity_of_another_export_proves_nothing() -> None:
    gate = parity_gate(VERIFICATION, digest="e" * 64)
    assert gate.verdict == FAILED
    assert "is of another export (dddddddddddd, expected eeeeeeeeeeee); type `ctrkit verify`" in gate.text


def test_parity_beyond_its_bound_fails() -> None:
    assert parity_gate({**VERIFICATION, "largest_difference": 2e-5}, digest=DIGEST).verdict == FAILED
    broken = {"digest": DIGEST, "bound": 1e-5, "passed": False, "error": "Row 3: keras gives 0.5"}
    gate = parity_gate(broken, digest=DIGEST)
    assert (gate.verdict, gate.text) == (FAILED, "Row 3: keras gives 0.5")


def compare(name: Any, value: float, low: float, high: float, **options: Any) -> Any:
    return comparison_gate(name, Difference(value, low, high, 0.5), against="champion, version 3", rows=4000, **options)


def test_a_difference_whose_interval_reaches_zero_passes() -> None:
    for name, value, low, high in [
        ("auc", -0.001, -0.003, 0.001),  # Worse, but that may be chance.
        ("auc", 0.002, 0.001, 0.003),
        ("auc", 0.0, 0.0, 0.0),  # The same model.
        ("log_loss", 0.001, -0.001, 0.003),
        ("log_loss", -0.002, -0.003, -0.001),
    ]:
        assert compare(name, value, low, high).verdict == PASSED
    assert compare("auc", -0.001, -0.003, 0.001).text == (
        "AUC -0.00100 [-0.00300, +0.00100] against champion, version 3 on the same 4,000 rows"
    )


def test_a_loss_beyond_the_interval_fails_and_says_how_far() -> None:
    gate = compare("auc", -0.004, -0.006, -0.002)
    assert (gate.verdict, gate.figure) == (FAILED, -0.004)
    assert gate.text.endswith("on the same 4,000 rows: worse by at least 0.00200")
    assert compare("log_loss", 0.004, 0.0015, 0.006).text.endswith("worse by at least 0.00150")


def test_a_margin_bounds_what_the_interval_may_hold() -> None:
    assert compare("auc", -0.001, -0.003, 0.001, margin=0.003).verdict == PASSED
    gate = compare("auc", -0.001, -0.003, 0.001, margin=0.002)
    assert gate.verdict == FAILED
    assert gate.text.endswith("may be worse by 0.00300, 0.00100 more than allowed")
    assert gate.bound == "AUC not worse beyond the interval, nor by more than 0.002"
    assert compare("log_loss", 0.001, -0.001, 0.003, margin=0.002).verdict == FAILED


def test_without_a_champion_a_comparison_is_skipped_and_without_its_scores_it_fails() -> None:
    first = comparison_gate("auc", None, against="")
    assert (first.verdict, first.lets_through) == (SKIPPED, True)
    assert first.text == "there is no champion yet to compare with"
    gate = comparison_gate("auc", None, against="champion, version 3", why_not="it has other features (hour)")
    assert gate.verdict == FAILED
    assert gate.text == "cannot compare with champion, version 3: it has other features (hour)"


def test_a_metric_that_is_not_defined_fails() -> None:
    assert "one class only" in compare("auc", math.nan, math.nan, math.nan).text
    assert compare("auc", math.nan, math.nan, math.nan).verdict == FAILED


def test_calibration_fails_where_its_interval_misses_the_bounds() -> None:
    assert calibration_gate(1.0, (0.95, 1.05), (0.9, 1.1)).verdict == PASSED
    assert calibration_gate(1.2, (1.08, 1.32), (0.9, 1.1)).verdict == PASSED  # Few clicks: it may be chance.
    gate = calibration_gate(1.2, (1.15, 1.25), (0.9, 1.1))
    assert gate.verdict == FAILED
    assert gate.text == "predicted over observed clicks 1.200 [1.150, 1.250], 0.050 out of bounds"
    assert calibration_gate(0.8, (0.75, 0.85), (0.9, 1.1)).text.endswith("0.050 out of bounds")
    assert calibration_gate(1.2, None, (0.9, 1.1)).verdict == FAILED  # Without an interval the figure itself counts.
    assert calibration_gate(math.nan, None, (0.9, 1.1)).text == "there is no click among the rows"


def one(value: str, clicks: int, pcoc: float | None, low: float = 0, high: float = 0) -> dict[str, Any]:
    return {"feature": "site", "value": value, "clicks": clicks, "pcoc": pcoc, "pcoc_95": [low, high]}


def test_a_slice_out_of_bounds_is_named_and_a_small_one_is_not_judged() -> None:
    slices = [one("a", 500, 1.0, 0.9, 1.1), one("b", 60, 1.6, 1.5, 1.7), one("c", 49, 3.0, 2.5, 3.5)]
    gate = slices_gate(slices, (0.8, 1.25), clicks=50)
    assert (gate.verdict, gate.figure) == (FAILED, 1.6)
    assert gate.text == "1 of 2 slices: site=b 1.600 [1.500, 1.700], 0.250 out of bounds"
    gate = slices_gate(slices[:1] + slices[2:], (0.8, 1.25), clicks=50)
    assert (gate.verdict, gate.figure) == (PASSED, 1.0)


def test_slices_too_small_to_judge_are_skipped() -> None:
    gate = slices_gate([one("a", 0, None)], (0.8, 1.25), clicks=1)
    assert (gate.verdict, gate.text) == (SKIPPED, "none of 1 slices has 1 clicks")


def test_the_slice_furthest_out_comes_first_and_few_are_named() -> None:
    slices = [one(str(n), 100, 2 + n, 1.9 + n, 2.1 + n) for n in range(5)]
    gate = slices_gate(slices, (0.8, 1.25), clicks=50)
    assert gate.text.startswith("5 of 5 slices: site=4 6.000")
    assert gate.text.endswith("; …")


def test_latency_over_its_budget_says_by_how_much() -> None:
    assert latency_gate(10.0, 10.0, p50_ms=2.0, candidates=100, requests=300).verdict == PASSED
    gate = latency_gate(12.5, 10.0, p50_ms=2.0, candidates=100, requests=300)
    assert (gate.verdict, gate.bound) == (FAILED, "p99 at most 10 ms")
    assert gate.text == "p99 12.50 ms, p50 2.00 ms to rank 100 candidates (300 requests), 2.50 ms over"


@pytest.mark.parametrize(
    ("held", "why_not", "allow_new", "verdict", "text"),
    [
        (None, None, False, SKIPPED, "there is no champion yet"),
        ("a" * 64, None, False, PASSED, "the same index"),
        ("b" * 64, None, False, PASSED, "index aaaaaaaaaaaa extends bbbbbbbbbbbb"),
        ("b" * 64, "other features (hour)", False, FAILED, "other features (hour). Train on the champion's index"),
        ("b" * 64, "other features (hour)", True, PASSED, "allowed by promotion.allow_new_index"),
    ],
)  # fmt: skip
def test_an_index_that_clients_cannot_go_on_with_is_let_in_only_when_that_is_said(
    held: str | None, why_not: str | None, allow_new: bool, verdict: str, text: str
) -> None:
    gate = index_gate("a" * 64, held, why_no_extension=why_not, allow_new=allow_new)
    assert gate.verdict == verdict
    assert text in gate.text
