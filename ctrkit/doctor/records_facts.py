"""Read records once: ids out of range, and what is missing or out of vocabulary of every field, crosses included."""

from __future__ import annotations

from typing import Any

import numpy as np

from ctrkit.indexing import OOV_ROW, FeatureIndex
from ctrkit.progress import progress
from ctrkit.records import Records

_BATCH = 8_192  # Rows.


def records_facts(records: Records, index: FeatureIndex) -> dict[str, Any]:
    """Facts of each field: its `rows`, ids `out_of_range` (a count), shares of ids `missing` and `oov`."""
    low, high = np.zeros(index.width, dtype=np.int64), np.zeros(index.width, dtype=np.int64)
    missing, oov = low.copy(), low.copy()
    limits = index.rows_per_column
    last = np.concatenate([np.full(field.length, OOV_ROW + field.oov, dtype=np.int32) for field in index.fields])
    seen = 0
    with progress(f"examining {records.directory.name}", total=records.rows) as shown:
        for batch in records.batches(_BATCH, shuffle=False):
            ids = batch["ids"]
            low += (ids < 0).sum(axis=0)
            high += (ids >= limits).sum(axis=0)
            missing += (ids == 0).sum(axis=0)
            oov += ((ids >= OOV_ROW) & (ids < last)).sum(axis=0)
            seen += len(ids)
            shown.advance(len(ids))
    return {
        "rows": seen,
        "fields": {
            field.name: {
                "rows": field.rows,
                "out_of_range": int((low + high)[field.columns].sum()),
                "missing": float(missing[field.columns].sum()) / max(1, seen * field.length),
                "oov": float(oov[field.columns].sum()) / max(1, seen * field.length),
            }
            for field in index.fields
        },
    }
