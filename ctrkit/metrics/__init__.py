"""Judge scores: exact metrics over arrays (numpy alone), and Keras metrics for `compile`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ctrkit.lazy import lazy
from ctrkit.metrics.exact import auc, grouped_auc, log_loss, pcoc, summarize

__all__ = ["PCOC", "StreamingAUC", "auc", "click_metrics", "grouped_auc", "log_loss", "pcoc", "summarize"]

if TYPE_CHECKING:
    from ctrkit.metrics.compiled import PCOC, StreamingAUC, click_metrics
else:
    # TensorFlow is imported by those who ask for a Keras metric.
    __getattr__, __dir__ = lazy(__name__, {"compiled": ["PCOC", "StreamingAUC", "click_metrics"]})
