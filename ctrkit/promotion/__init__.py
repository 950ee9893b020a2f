"""Decide whether a model may take the place of the one that is served: gates over figures that others measured."""

from ctrkit.promotion.extension import why_no_extension
from ctrkit.promotion.gate import FAILED, PASSED, SKIPPED, Gate
from ctrkit.promotion.gates import (
    calibration_gate,
    comparison_gate,
    index_gate,
    latency_gate,
    parity_gate,
    slices_gate,
)
from ctrkit.promotion.options import GATES, PromotionOptions

__all__ = [
    "FAILED",
    "GATES",
    "PASSED",
    "SKIPPED",
    "Gate",
    "PromotionOptions",
    "calibration_gate",
    "comparison_gate",
    "index_gate",
    "latency_gate",
    "parity_gate",
    "slices_gate",
    "why_no_extension",
]
