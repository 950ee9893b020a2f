"""`ctrkit tune` on a tiny log, with a real SQLite store."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import pytest
from mlflow import MlflowClient

from ctrkit.commands.configuration import load_config
from ctrkit.commands.main import main
from ctrkit.tuning import TrialFiles
from tests.commands.tiny_search import NAME, words, write_model

PARENT_TAG = "mlflow.parentRunId"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory):
    """A search of two trials; the rows for test were made unreadable before."""
    folder, before = tmp_path_factory.mktemp("tune"), Path.cwd()
    os.chdir(folder)
    typed = words(write_model(folder))
    assert main(["prepare", *typed]) == 0
    for shard in (folder / "artifacts" / NAME / "test").glob("*.tfrecord*"):
        shard.write_bytes(os.urandom(shard.stat().st_size))
    status = main(["tune", *typed])
    (search,) = [file.parent for file in folder.glob(f"artifacts/{NAME}/tuning/*/search.json")]
    yield SimpleNamespace(folder=folder, search=search, words=typed, status=status, files=TrialFiles(search))
    os.chdir(before)


@pytest.fixture
def client(tuned) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tuned.folder}/artifacts/mlflow.db")


def runs_of(client: MlflowClient) -> list:
    (experiment,) = [one for one in client.search_experiments() if one.name == NAME]
    return client.search_runs([experiment.experiment_id])


def test_every_trial_is_trained_and_scored_without_a_row_for_test(tuned) -> None:
    assert tuned.status == 0
    trials = tuned.files.all()
    assert [trial.id for trial in trials] == ["0000", "0001"]
    for trial in trials:
        assert trial.status == "completed"
        assert 0.4 < trial.objective < 1
        assert trial.objective == trial.metrics["auc"]
        assert set(trial.hp) == {"units", "deep", "activation"}
        assert set(trial.values) == {"training.table_learning_rate"}
        run = json.loads((tuned.files.run_dir(trial.id) / "run.json").read_text())
        assert run["status"] == "finished"
        assert run["options"]["table_learning_rate"] == trial.values["training.table_learning_rate"]
        assert trial.rows == run["result"]["rows"]


def test_the_first_trial_has_the_experiments_own_values(tuned) -> None:
    first = tuned.files.read("0000")
    assert first.values == {"training.table_learning_rate": 0.05}
    assert first.hp == {"units": 4, "deep": True, "activation": "relu"} or first.hp["deep"] == 1


def test_each_trial_is_a_nested_run_with_its_curve_and_score(tuned, client: MlflowClient) -> None:
    runs = runs_of(client)
    (parent,) = [run for run in runs if "ctrkit.search" in run.data.tags]
    nested = {run.data.tags["ctrkit.trial"]: run for run in runs if PARENT_TAG in run.data.tags}
    assert {run.data.tags[PARENT_TAG] for run in nested.values()} == {parent.info.run_id}
    assert len(runs) == 3
    for trial in tuned.files.all():
        run = nested[trial.id]
        assert run.info.status == "FINISHED"
        assert run.info.run_id == trial.run_id
        assert run.data.metrics["objective"] == pytest.approx(trial.objective)
        curve = client.get_metric_history(run.info.run_id, "validation_auc")
        assert [point.value for point in curve] == pytest.approx([value for _, value in trial.curve])
        assert float(run.data.params["training.table_learning_rate"]) == trial.values["training.table_learning_rate"]
        assert run.data.params["model.hp.units"] == str(trial.hp["units"])


def test_each_trial_has_a_card_with_its_values(tuned, client: MlflowClient) -> None:
    for trial in tuned.files.all():
        run_dir = tuned.files.run_dir(trial.id)
        card = json.loads((run_dir / "card.json").read_text(encoding="utf-8"))
        assert (card["run"], card["status"], card["rerun"]) == (trial.id, "finished", None)
        key = "training.table_learning_rate"
        assert card["config"][key] == trial.values[key]
        if trial.id != "0000":  # The first one has the experiment's own values.
            assert card["changed"][key] == {"value": trial.values[key], "default": 0.05}
        assert card["training"]["metrics"]["auc"] == pytest.approx(trial.objective)
        assert card["data"]["parts"]["train"]["rows"] > 0
        assert "learning_curve" in card["plots"]
        assert "Do it again" not in (run_dir / "card.html").read_text(encoding="utf-8")
        assert {file.path for file in client.list_artifacts(trial.run_id, "card")} == {
            "card/card.json",
            "card/card.html",
        }


def test_the_searchs_own_run_has_the_figures_the_table_and_the_winner(tuned, client: MlflowClient) -> None:
    (parent,) = [run for run in runs_of(client) if "ctrkit.search" in run.data.tags]
    names = {file.path for file in client.list_artifacts(parent.info.run_id)}
    figures = {file.path for file in client.list_artifacts(parent.info.run_id, "figures")}
    assert {"trials.txt", "result.json", "winner.yaml"} <= names
    assert figures == {"figures/parallel_coordinates.png", "figures/importance.png"}
    best = max(trial.objective for trial in tuned.files.all())
    assert parent.data.metrics["best_auc"] == pytest.approx(best)
    for name in ("parallel_coordinates", "importance"):
        assert matplotlib.image.imread(tuned.search / f"{name}.png").std() > 0


def test_the_winner_is_an_experiment_that_composes(tuned) -> None:
    result = json.loads((tuned.search / "result.json").read_text())
    winner = tuned.files.read(result["winner"])
    assert winner.objective == max(trial.objective for trial in tuned.files.all())
    config = load_config([f"experiment={NAME}_tuned"])
    assert config.training.table_learning_rate == winner.values["training.table_learning_rate"]
    assert dict(config.model.hp) == winner.hp
    assert (tuned.folder / "conf" / "experiment" / f"{NAME}_tuned.yaml").read_text() == (
        tuned.search / "winner.yaml"
    ).read_text()


def test_weights_of_the_best_trial_alone_are_kept(tuned) -> None:
    winner = json.loads((tuned.search / "result.json").read_text())["winner"]
    assert [path.parent.name for path in (tuned.search / "trials").glob("*/best")] == [winner]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("tuning.objective=aauc", "tuning.objective is 'aauc', expected one of auc"),
        ("tuning.space={model.dmi:[1,2]}", "has no 'dmi'. Did you mean 'dim'?"),
        ("tuning.space={training.batch_size:[256,0]}", "Space training.batch_size: 0 cannot be: training.batch_size"),
        ("tuning.space={training.table_optimizer:[adagrad,adam]}", "'adam' cannot be: Optimizer for tables"),
        ("tuning.space={model.dim:[2,-1]}", "Space model.dim: -1 cannot be: FieldEmbeddings: `dim` is -1"),
        ("tuning.space={data.split.test:[0.1]}", "expected a key of model or training"),
    ],
)
def test_a_bad_search_is_refused_before_its_first_trial(tuned, word: str, said: str, capsys) -> None:
    before = sorted(tuned.search.parent.iterdir())
    assert main(["tune", *tuned.words, word]) == 1
    assert said in capsys.readouterr().err
    assert sorted(tuned.search.parent.iterdir()) == before


def test_a_larger_budget_goes_on_and_the_winner_trains_to_the_score_of_its_trial(tuned, capsys) -> None:
    before = tuned.files.all()
    assert main(["tune", *tuned.words, "tuning.trials=3"]) == 0
    assert tuned.files.all()[:2] == before
    assert len(tuned.files.all()) == 3
    winner = max(tuned.files.all(), key=lambda trial: trial.objective)
    assert main(["train", f"experiment={NAME}_tuned"]) == 0
    (run_file,) = tuned.folder.glob(f"artifacts/{NAME}_tuned/runs/*/run.json")
    assert json.loads(run_file.read_text())["result"]["metrics"]["auc"] == winner.objective
