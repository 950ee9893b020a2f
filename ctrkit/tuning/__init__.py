"""Search for the values that make an experiment better. Names are loaded on first use: options need no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy

__all__ = [
    "Importance",
    "LocalSearch",
    "Objective",
    "Space",
    "Trial",
    "TrialFiles",
    "TuningOptions",
    "fixed_hyperparameters",
    "importance",
    "importance_figure",
    "parallel_figure",
    "ranked",
    "trial_table",
]

if TYPE_CHECKING:
    from ctrkit.tuning.draw_importance import importance_figure
    from ctrkit.tuning.draw_parallel import parallel_figure
    from ctrkit.tuning.hyperparameters import fixed_hyperparameters
    from ctrkit.tuning.importance import Importance, importance
    from ctrkit.tuning.local_search import LocalSearch
    from ctrkit.tuning.objective import Objective
    from ctrkit.tuning.options import TuningOptions
    from ctrkit.tuning.ranking import ranked
    from ctrkit.tuning.space import Space
    from ctrkit.tuning.table import trial_table
    from ctrkit.tuning.trial_file import Trial, TrialFiles
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "draw_importance": ["importance_figure"],
            "draw_parallel": ["parallel_figure"],
            "hyperparameters": ["fixed_hyperparameters"],
            "importance": ["Importance", "importance"],
            "local_search": ["LocalSearch"],
            "objective": ["Objective"],
            "options": ["TuningOptions"],
            "ranking": ["ranked"],
            "space": ["Space"],
            "table": ["trial_table"],
            "trial_file": ["Trial", "TrialFiles"],
        },
    )
