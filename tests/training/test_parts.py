"""Training in parts gives the weights of training whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.models import wide_deep
from ctrkit.optimizers import is_table
from tests.models.custom import by_names
from tests.training.cut_runs import all_in, run_in_parts

STEPS = 30


def plain(index: Any) -> tf.keras.Model:
    """With a sequence, a penalty, dropout and batch normalization."""
    return wide_deep(index, dim=3, hidden=(8, 7), dropout=0.2, batch_norm=True, l2=1e-3, label_rate=0.3)


def own(index: Any) -> tf.keras.Model:
    """Keras embeddings, the same initial values each time."""
    tf.keras.utils.set_random_seed(3)
    return by_names(index, units=7)


@pytest.fixture(scope="session")
def whole(sequences, tmp_path_factory):
    """Weights after a run in no parts, each trained once."""
    known: dict[tuple, list[np.ndarray]] = {}

    def weights(build, tables: str) -> list[np.ndarray]:
        if (build, tables) not in known:
            run_dir = tmp_path_factory.mktemp("whole")
            model = build(sequences.index)
            known[build, tables] = run_in_parts(model, sequences, run_dir, {}, steps=STEPS, table_optimizer=tables)
        return known[build, tables]

    return weights


# A run each.
RUNS = [(plain, "adagrad", 3), (own, "lazy_adam", 2)]
MORE_RUNS = [
    (build, tables, parts)
    for build in (plain, own)
    for tables in ("adagrad", "ftrl", "lazy_adam")
    for parts in (1, 2, 3, 7)
    if (build, tables, parts) not in RUNS
]


@pytest.mark.parametrize(
    ("build", "tables", "parts"),
    [*RUNS, *(pytest.param(*run, marks=pytest.mark.slow) for run in MORE_RUNS)],
)
def test_a_model_in_parts_learns_the_same_weights(build, tables: str, parts: int, whole, sequences, tmp_path) -> None:
    model = build(sequences.index)
    seen: dict[str, Any] = {}

    def look(graph) -> None:
        seen["names"] = {name for name in graph.variables if name.startswith("weights/")}
        seen["tables"] = [part for parts in graph.weights for part in parts if is_table(part)]
        seen["ops"] = tf.compat.v1.get_default_graph().get_operations()

    chosen = all_in(model, parts)
    start = model.get_weights()
    found = run_in_parts(model, sequences, tmp_path, chosen, steps=STEPS, table_optimizer=tables, on_graph=look)
    for got, before, expected in zip(found, start, whole(build, tables), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6, rtol=0)
        assert not np.array_equal(got, before) or np.array_equal(before, expected)
    if parts > 1:
        assert {f"weights/{place}/part_{part}" for place in chosen for part in range(parts)} <= seen["names"]
        _expect_sparse_updates(seen["tables"], seen["ops"])


def _expect_sparse_updates(tables: list[tf.Variable], ops: list[tf.Operation]) -> None:
    """Nothing but sparse operations takes a part of a table, or one of its slots, once it is initialized."""
    graph = ops[0].graph
    assert tables
    for table in tables:
        (handle,) = graph.get_operation_by_name(table.op.name).outputs
        used = {op.type for op in handle.consumers()} - {"AssignVariableOp", "VarIsInitializedOp", "VariableShape"}
        assert "ResourceGather" in used
        updates = {kind for kind in used if "Apply" in kind or "Scatter" in kind}
        assert len(updates) == 1, used
        assert all("Sparse" in kind or "Scatter" in kind for kind in updates), used
    uniques = [op for op in ops if op.type in ("Unique", "UniqueV2")]
    layers = {table.name.split("/part_")[0] for table in tables}
    assert len(uniques) == len(layers), "an optimizer looks for rows that come twice"
