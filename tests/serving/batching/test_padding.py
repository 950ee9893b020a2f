"""Rows that only fill a batch: never seen by the caller, whatever the number of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ConfigError
from ctrkit.serving.batching.padding import padded_size, run_padded, sizes_by_signature
from ctrkit.serving.servable import Servable

SIZES = (1, 10, 25)
EDGES = (1, 2, 9, 10, 11, 24, 25, 26, 50, 51, 60)
MANIFEST = {
    "buckets": [10, 1],
    "compiled": {"rank": [100, 1]},
    "signatures": {"rank": ["user_ids", "item_ids"], "named": ["a"], "fingerprint": []},
}


def test_only_compiled_signatures_are_padded_unless_asked_for() -> None:
    assert sizes_by_signature("auto", MANIFEST) == {"rank": (1, 100)}
    assert sizes_by_signature("always", MANIFEST) == {"rank": (1, 100), "named": (1, 10)}
    assert sizes_by_signature("never", MANIFEST) == sizes_by_signature("auto", {}) == {}
    with pytest.raises(ConfigError, match=r"`padding` is 'allways'\. Did you mean 'always'"):
        sizes_by_signature("allways", MANIFEST)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", EDGES)
def test_the_model_sees_the_sizes_alone_and_the_caller_the_rows_alone(rows: int) -> None:
    seen = []

    def run(inputs):  # type: ignore[no-untyped-def]
        seen.append(len(inputs["x"]))
        assert inputs["user"].tolist() == [[7]]
        assert set(inputs["x"].ravel()) <= set(range(rows))  # Filled with valid rows.
        return {"twice": inputs["x"] * 2}

    x = np.arange(rows).reshape(rows, 1)
    got = run_padded(run, {"x": x, "user": np.array([[7]])}, ["x"], SIZES)
    assert got["twice"].tolist() == (x * 2).tolist()
    assert set(seen) <= set(SIZES)
    assert sum(seen) - rows < 25
    assert len(seen) == -(-rows // 25)
    assert padded_size(rows, SIZES) == (min([size for size in SIZES if size >= rows], default=rows))


@pytest.mark.parametrize("signature", ["serving_default", "rank", "named"])
def test_padding_changes_no_score(export: Path, index, signature: str) -> None:  # type: ignore[no-untyped-def]
    plain, padded = (Servable.load(export, 1, padding=choice) for choice in ("never", "always"))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for rows in (0, 1, 2, 9, 10, 11, 20, 21):  # The export's buckets are 1 and 10.
        ids = rng.integers(0, index.rows_per_column, size=(rows, index.width)).astype(np.int32)
        inputs = {
            "serving_default": {"ids": ids},
            "rank": {"user_ids": np.ones((1, index.user_width), np.int32), "item_ids": ids[:, index.user_width :]},
            "named": {
                name: ids[:, index[field].columns] if index[field].length > 1 else ids[:, index[field].start]
                for field, name in plain.named_inputs.items()
            },
        }[signature]
        expected = plain.predict(signature, inputs)["ctr"]
        got = padded.predict(signature, inputs)["ctr"]
        assert got.shape == (rows, 1)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    plain.close()
    padded.close()
