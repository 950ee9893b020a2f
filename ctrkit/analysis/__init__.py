"""Explain a model by numbers and by pictures: ROC, calibration, scores, learning curves, balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "Balance",
    "CalibrationBins",
    "Difference",
    "Interval",
    "OverSeeds",
    "RocCurve",
    "ScoredPart",
    "Slice",
    "auc_difference",
    "auc_interval",
    "calibration_bins",
    "calibration_figure",
    "check_same_rows",
    "learning_curve_figure",
    "log_loss_difference",
    "metric_differences",
    "metric_intervals",
    "over_seeds",
    "placement_figure",
    "roc_curve",
    "roc_figure",
    "score_histogram",
    "sliced_fields",
    "slices",
]

if TYPE_CHECKING:
    from ctrkit.analysis.balance import Balance
    from ctrkit.analysis.calibration import CalibrationBins, calibration_bins
    from ctrkit.analysis.draw_calibration import calibration_figure
    from ctrkit.analysis.draw_learning import learning_curve_figure
    from ctrkit.analysis.draw_placement import placement_figure
    from ctrkit.analysis.draw_roc import roc_figure
    from ctrkit.analysis.draw_scores import score_histogram
    from ctrkit.analysis.intervals import metric_intervals
    from ctrkit.analysis.paired import Difference, auc_difference, log_loss_difference, metric_differences
    from ctrkit.analysis.roc import RocCurve, roc_curve
    from ctrkit.analysis.scored_part import ScoredPart, check_same_rows
    from ctrkit.analysis.seeds import OverSeeds, over_seeds
    from ctrkit.analysis.slices import Slice, sliced_fields, slices
    from ctrkit.analysis.uncertainty import Interval, auc_interval
else:
    # The figures need matplotlib, the numbers do not.
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "balance": ["Balance"],
            "calibration": ["CalibrationBins", "calibration_bins"],
            "draw_calibration": ["calibration_figure"],
            "draw_learning": ["learning_curve_figure"],
            "draw_placement": ["placement_figure"],
            "draw_roc": ["roc_figure"],
            "draw_scores": ["score_histogram"],
            "intervals": ["metric_intervals"],
            "paired": ["Difference", "auc_difference", "log_loss_difference", "metric_differences"],
            "roc": ["RocCurve", "roc_curve"],
            "scored_part": ["ScoredPart", "check_same_rows"],
            "seeds": ["OverSeeds", "over_seeds"],
            "slices": ["Slice", "sliced_fields", "slices"],
            "uncertainty": ["Interval", "auc_interval"],
        },
    )
