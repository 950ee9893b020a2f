"""A run begins where another ended, its tables grown with the index."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from ctrkit.errors import ArtifactError, ConfigError, IndexMismatchError
from ctrkit.layers import FieldEmbeddings, Inputs
from ctrkit.models import wide_deep
from ctrkit.records import Prepared, prepare
from ctrkit.schema import Schema
from ctrkit.training import carry_over, train
from ctrkit.training.checkpoint import BEST, CHECKPOINTS, checkpoints
from tests.training.runs import options, prepared_days

SCHEMA = {
    "label": "click",
    "features": {
        "user": {"kind": "categorical", "side": "user", "oov": 3, "min_count": 2},
        "history": {"kind": "sequence", "of": "ad", "max_length": 2, "side": "user"},
        "hour": {"kind": "numeric", "quantiles": 4, "side": "context"},
        "ad": {"kind": "categorical", "min_count": 2},
        "user_x_ad": {"kind": "cross", "of": ["user", "ad"], "min_count": 2, "oov": 2},
        "site": {"kind": "hashed", "buckets": 5},
    },
}


def day_of(path: Path, day: int, rows: int = 900) -> Path:
    draw = np.random.default_rng(day)
    users, ads = draw.zipf(1.4, rows) % 40 + 15 * day, draw.zipf(1.4, rows) % 20 + 5 * day
    clicks = (draw.random(rows) < 0.2 + 0.3 * (ads % 3 == 0)).astype(int)
    lines = [
        f"{click},u{user},ad{ad}|ad{ad + 1},{draw.integers(24)},ad{ad},s{ad % 7}"
        for click, user, ad in zip(clicks, users, ads, strict=True)
    ]
    path.write_text("click,user,history,hour,ad,site\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Prepared]:
    made = prepared_days(tmp_path_factory.mktemp("days"), SCHEMA, day_of, 3)
    assert len(made[2].index.vocabularies["user"]) > len(made[0].index.vocabularies["user"])
    return made


def build(index, **changed):
    """Two tables of other widths and other fields, beside the wide part."""
    return wide_deep(index, **{"dim": 4, "hidden": (8,), "batch_norm": True, **changed})


@pytest.fixture(scope="module")
def trained(days, tmp_path_factory):
    """A run over the first day, with Adam on both sides, whose rate depends on its count of updates."""
    run_dir = tmp_path_factory.mktemp("runs") / "first"
    model = build(days[0].index)
    train(model, days[0], run_dir, options=opts(max_steps=6))
    return SimpleNamespace(run_dir=run_dir, model=model)


def opts(**changes):
    return options(**{"batch_size": 128, "evaluate_every": 3, "table_optimizer": "lazy_adam", **changes})


def log_rows(days, day: int) -> list[dict[str, str]]:
    lines = (days[day].work_dir.parent / f"{day}.csv").read_text(encoding="utf-8").splitlines()
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


@pytest.mark.parametrize("later", [1, 2])  # An extension of an extension knows the first index, too.
def test_a_model_that_was_carried_over_gives_every_row_the_score_it_had(days, trained, later) -> None:
    model = build(days[later].index)
    carry_over(model, trained.run_dir, days[later].index)
    for day in range(3):  # Old rows, and those with values that are new to the first day's index.
        rows = log_rows(days, day)[:300]
        before = trained.model(days[0].index.ids(rows), training=False)
        after = model(days[later].index.ids(rows), training=False)
        np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.slow
def test_a_layer_over_some_fields_and_one_of_keras_are_carried_over(days, tmp_path) -> None:
    def own(index):
        inputs = Inputs(index)
        user, item = FieldEmbeddings(index, dim=3, fields=["ad", "site", "history"])(inputs)
        at = index["ad"].start
        mine = tf.keras.layers.Embedding(index["ad"].rows, 2)(tf.keras.layers.Lambda(lambda x: x[:, at])(inputs.ids))
        flat = [tf.keras.layers.Flatten()(one) for one in (user, item)]
        ctr = tf.keras.layers.Dense(1, "sigmoid", name="ctr")(tf.keras.layers.Concatenate()([*flat, mine]))
        return tf.keras.Model(inputs.ids, ctr)

    first, later = own(days[0].index), own(days[1].index)
    train(first, days[0], tmp_path, options=opts(max_steps=2, table_optimizer="adagrad"))
    carry_over(later, tmp_path, days[1].index)
    rows = log_rows(days, 1)[:200]
    np.testing.assert_allclose(later(days[1].index.ids(rows)), first(days[0].index.ids(rows)), atol=1e-6)


def tensors(checkpoint) -> dict[str, np.ndarray]:
    reader = tf.train.load_checkpoint(checkpoint.prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def test_slots_move_with_their_rows_and_updates_are_counted_on(days, trained, tmp_path) -> None:
    run_dir = tmp_path / "second"
    still = opts(warm_start=trained.run_dir, max_steps=1, table_learning_rate=1e-12, dense_learning_rate=1e-12)
    train(build(days[1].index), days[1], run_dir, options=still)
    old, new = tensors(checkpoints(trained.run_dir / BEST)[0]), tensors(checkpoints(run_dir / CHECKPOINTS)[-1])
    assert checkpoints(run_dir / CHECKPOINTS)[-1].step == 0
    assert new["global_step"] == old["global_step"] > 0
    assert {name for name in new if "slots" in name} == {name for name in old if "slots" in name}
    model = build(days[1].index)
    before, now = days[0].index, days[1].index
    for place, weight in enumerate(model.weights):
        for name in (n for n in old if n.startswith((f"slots/{place}/", f"weights/{place}")) and "part" not in n):
            if not weight.name.endswith("table:0"):
                np.testing.assert_array_equal(new[name], old[name])
                continue
            start_old = start_new = 0
            for table in dict.fromkeys(field.table for field in now.fields):
                kept, rows = before[table].rows, now[table].rows
                np.testing.assert_array_equal(
                    new[name][start_new : start_new + kept], old[name][start_old : start_old + kept]
                )
                if name.startswith("slots"):
                    assert not new[name][start_new + kept : start_new + rows].any()  # As of a new Adam.
                start_old, start_new = start_old + kept, start_new + rows
    last = tensors(checkpoints(run_dir / CHECKPOINTS)[0])
    assert last["global_step"] == old["global_step"] + 1


@pytest.mark.slow
def test_killed_after_its_first_checkpoint_a_warm_start_goes_on_to_the_same_numbers(days, trained, tmp_path) -> None:
    from tests.training.runs import weights_of

    wanted = opts(warm_start=trained.run_dir, max_steps=6, seed=3)
    undisturbed, model = build(days[1].index), build(days[1].index)
    expected = train(undisturbed, days[1], tmp_path / "a", options=wanted)
    train(model, days[1], tmp_path / "b", options=opts(warm_start=trained.run_dir, max_steps=3, seed=3))
    again = train(model, days[1], tmp_path / "b", options=wanted)
    assert (again.resumed_from, again.steps) == (3, 6)
    assert again.metrics == expected.metrics
    for got, wished in zip(weights_of(model), weights_of(undisturbed), strict=True):
        np.testing.assert_array_equal(got, wished)


def test_an_index_that_is_no_extension_is_refused_by_name(days, trained, tmp_path) -> None:
    other = prepare(Schema.from_dict(SCHEMA), day_of(tmp_path / "9.csv", 9), tmp_path / "9")
    wanted = f"index {days[0].fingerprint[:12]}, but index {other.fingerprint[:12]} is no extension of it.*data.extend="
    with pytest.raises(IndexMismatchError, match=wanted):
        train(build(other.index), other, tmp_path / "run", options=opts(warm_start=trained.run_dir))


@pytest.mark.slow
def test_another_model_and_another_optimizer_are_refused(days, trained, tmp_path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be carried over: weight \d+ .*table.*there and"):
        carry_over(build(days[1].index, dim=5), trained.run_dir, days[1].index)
    adagrad = opts(warm_start=trained.run_dir, table_optimizer="adagrad", max_steps=1)
    with pytest.raises(ConfigError, match=r"\['m', 'v'\] of weight .*\['accumulator'\].*warm_start_slots=false"):
        train(build(days[1].index), days[1], tmp_path / "run", options=adagrad)
    fresh = opts(warm_start=trained.run_dir, table_optimizer="adagrad", max_steps=1, warm_start_slots=False)
    assert train(build(days[1].index), days[1], tmp_path / "run", options=fresh).steps == 1
