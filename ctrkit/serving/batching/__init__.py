"""Requests computed together, and rows that only fill a batch."""

from ctrkit.serving.batching.options import BatchingOptions
from ctrkit.serving.batching.padding import Padding

__all__ = ["BatchingOptions", "Padding"]
