"""What a checkpoint holds, and under which names."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ArtifactError
from ctrkit.training.logical import LogicalName
from tests.training.cut_runs import run_in_parts
from tests.training.test_parts import plain


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("weights/12", LogicalName(12)),
        ("weights/0/part_3", LogicalName(0, part=3)),
        ("slots/4/accumulator", LogicalName(4, "accumulator")),
        ("slots/4/m/part_10", LogicalName(4, "m", 10)),
        ("slots/4/of/two/part_1", LogicalName(4, "of/two", 1)),
    ],
)
def test_names_are_read_as_they_are_written(text: str, name: LogicalName) -> None:
    assert LogicalName.parse(text) == name
    assert str(name) == text


@pytest.mark.parametrize("text", ["global_step", "optimizer/0", "weights/x", "weights/1/partly"])
def test_other_names_belong_to_no_weight(text: str) -> None:
    assert LogicalName.parse(text) is None


def compiled(index, optimizer) -> tf.keras.Model:
    model = plain(index)
    model.compile(optimizer, "binary_crossentropy", metrics=["AUC"])
    return model


def nadam(index) -> tf.keras.Model:
    """Its optimizer keeps a product over all steps beside the slots."""
    return compiled(index, tf.keras.optimizers.legacy.Nadam(0.01))


@pytest.mark.slow
def test_a_compiled_model_with_an_optimizer_of_its_own_goes_on_as_if_nothing_had_happened(sequences, tmp_path) -> None:
    expected = run_in_parts(nadam(sequences.index), sequences, tmp_path / "at once", {}, steps=12)
    held: dict = {}
    run_in_parts(nadam(sequences.index), sequences, tmp_path / "twice", {}, steps=6)
    found = run_in_parts(
        nadam(sequences.index), sequences, tmp_path / "twice", {}, steps=12, on_graph=lambda g: held.update(g.variables)
    )
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert {name for name in held if not name.startswith(("weights/", "slots/"))} == {"global_step", "optimizer/0"}
    assert "momentum_cache" in held["optimizer/0"].name


def test_another_optimizer_than_the_checkpoints_is_refused(sequences, tmp_path) -> None:
    first = compiled(sequences.index, tf.keras.optimizers.legacy.SGD(0.1))
    run_in_parts(first, sequences, tmp_path, {}, steps=1)
    second = compiled(sequences.index, tf.keras.optimizers.legacy.SGD(0.1, momentum=0.5))
    with pytest.raises(ArtifactError, match=r"has no slots/0/momentum, but this run needs it.*Compile the model as it"):
        run_in_parts(second, sequences, tmp_path, {}, steps=2)
