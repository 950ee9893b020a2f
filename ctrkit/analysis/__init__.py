"""Explain a model by numbers and by pictures: ROC, calibration, scores, learning curves, balance."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctrkit.analysis.balance import Balance
    from ctrkit.analysis.calibration import CalibrationBins, calibration_bins
    from ctrkit.analysis.draw_calibration import calibration_figure
    from ctrkit.analysis.draw_learning import learning_curve_figure
    from ctrkit.analysis.draw_placement import placement_figure
    from ctrkit.analysis.draw_roc import roc_figure
    from ctrkit.analysis.draw_scores import score_histogram
    from ctrkit.analysis.roc import RocCurve, roc_curve
    from ctrkit.analysis.uncertainty import Interval, auc_interval

_HOMES = {  # Imported on first use: the figures need matplotlib, the numbers do not.
    "Balance": "balance",
    "CalibrationBins": "calibration",
    "Interval": "uncertainty",
    "RocCurve": "roc",
    "auc_interval": "uncertainty",
    "calibration_bins": "calibration",
    "calibration_figure": "draw_calibration",
    "learning_curve_figure": "draw_learning",
    "placement_figure": "draw_placement",
    "roc_curve": "roc",
    "roc_figure": "draw_roc",
    "score_histogram": "draw_scores",
}

__all__ = [
    "Balance",
    "CalibrationBins",
    "Interval",
    "RocCurve",
    "auc_interval",
    "calibration_bins",
    "calibration_figure",
    "learning_curve_figure",
    "placement_figure",
    "roc_curve",
    "roc_figure",
    "score_histogram",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    return __all__
