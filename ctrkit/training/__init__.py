"""Fit a Keras model through its Estimator. Names are loaded on first use: options need no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "Evaluation",
    "InputShare",
    "Observer",
    "TrainingData",
    "TrainingOptions",
    "TrainingResult",
    "carry_over",
    "count_clicks",
    "evaluate",
    "input_share",
    "load_weights",
    "train",
]

if TYPE_CHECKING:
    from ctrkit.training.click_counts import count_clicks
    from ctrkit.training.evaluation import Evaluation, evaluate
    from ctrkit.training.fit import TrainingData, TrainingResult, train
    from ctrkit.training.loop import Observer
    from ctrkit.training.options import TrainingOptions
    from ctrkit.training.profile import InputShare, input_share
    from ctrkit.training.warm_start import carry_over
    from ctrkit.training.weights import load_weights
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "click_counts": ["count_clicks"],
            "evaluation": ["Evaluation", "evaluate"],
            "fit": ["TrainingData", "TrainingResult", "train"],
            "loop": ["Observer"],
            "options": ["TrainingOptions"],
            "profile": ["InputShare", "input_share"],
            "warm_start": ["carry_over"],
            "weights": ["load_weights"],
        },
    )
