"""The winner of a search as an experiment file of the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.trial_training import with_values
from ctrkit.commands.tuned_experiment import PARTS, experiment_text, tuned_name, write_experiment
from ctrkit.commands.workspace import plain


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf" / "experiment"


@pytest.mark.parametrize(
    ("words", "values", "hp"),
    [
        (
            ["experiment=criteo", "model=dcn_v2", "seed=3"],
            {"model.hidden": [64], "model.depth": 3, "training.early_stopping": None},
            {},
        ),
        (["name=mine", "data.build.rows=500"], {"training.learning_rate_decay": "linear", "model.l2": 0.001}, {}),
        (
            ["name=mine", "model=custom", "model._target_=ctrkit.models.wide_deep", "+model.dim=4"],
            {"training.table_options.initial_accumulator_value": 0.01},
            {"units": 64, "kind": "deep"},
        ),
    ],
)
def test_the_file_composes_to_the_winners_configuration(
    words: list[str], values: dict, hp: dict, project: Path
) -> None:
    config = load_config(words)
    winner = with_values(config, values, hp)
    name = tuned_name(str(config.name))
    write_experiment(project, name, experiment_text(winner, name=name, comment="Found.", always=values), force=False)
    composed = load_config([f"experiment={name}"])
    assert composed.name == name
    found, expected = plain(composed), plain(winner)
    assert found["serving"].pop("model") == name  # Follows it.
    expected["serving"].pop("model")
    for part in PARTS:
        assert found[part] == expected[part], part


def test_the_file_holds_only_what_differs(project: Path) -> None:
    config = load_config(["experiment=movielens"])
    text = experiment_text(with_values(config, {}, {}), name="m", comment="Why.", always=["model.dropout"])
    assert "# Why." in text
    assert "dropout: 0.1" in text
    assert "hidden:" in text  # The experiment's own, not the model's.
    assert "activation" not in text
    assert "patience" not in text
    assert "seed" not in text


def test_a_seed_that_follows_the_experiments_still_does(project: Path) -> None:
    config = load_config(["experiment=movielens"])
    write_experiment(project, "m", experiment_text(config, name="m", comment=""), force=False)
    assert load_config(["experiment=m", "seed=7"]).training.seed == 7


def test_a_file_that_was_changed_by_hand_is_left_alone_unless_forced(project: Path) -> None:
    assert write_experiment(project, "one", "name: one\n", force=False) is not None
    assert write_experiment(project, "one", "name: two\n", force=False) is not None  # As a search wrote it.
    path = project / "one.yaml"
    path.write_text(path.read_text() + "model:\n  dim: 4\n")
    changed = path.read_text()
    assert write_experiment(project, "one", "name: three\n", force=False) is None
    assert path.read_text() == changed
    assert write_experiment(project, "one", "name: three\n", force=True) == path
    assert "name: three" in path.read_text()
    path.write_text("name: of my own\n")
    assert write_experiment(project, "one", "name: four\n", force=False) is None


def test_a_tuned_experiment_that_is_tuned_again_keeps_its_name() -> None:
    assert tuned_name("movielens") == tuned_name("movielens_tuned") == "movielens_tuned"
