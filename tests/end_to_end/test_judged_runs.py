"""Runs trained for real: cards, repetitions and comparisons, with a real MLflow server and a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from tests.browser import Browser, browser
from tests.end_to_end.judged_runs import JudgedRuns
from tests.tracking.mlflow_server import Server, free_port, get

pytestmark = pytest.mark.slow

CLICK = """
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode())
  if (texts.currentNode.textContent.trim() == arguments[0]) { texts.currentNode.parentElement.click(); return true; }
return false;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), free_port())
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, server: Server) -> JudgedRuns:
    """Two evaluated runs, `first` and `second`, that differ in their seed."""
    made = JudgedRuns(tmp_path_factory.mktemp("project"), server.uri)
    for name, seed in (("first", 0), ("second", 1)):
        made.ctrkit("train", f"run={name}", f"seed={seed}")
        made.ctrkit("evaluate", f"run={name}", f"seed={seed}")
    return made


@pytest.fixture(scope="module")
def repeated(project: JudgedRuns) -> tuple[str, str]:
    """The name of a repetition of `first`, and what `rerun` said; asked for by its id in MLflow."""
    run_id = json.loads((project.run_dir("first") / "tracking.json").read_text())["run_id"]
    before = project.names()
    said = project.ctrkit("rerun", run_id, small=False).out
    return project.newest_but(*before), said


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def card(project: JudgedRuns, name: str) -> dict[str, Any]:
    return dict(json.loads((project.run_dir(name) / "card.json").read_text()))


# --- rerun ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_identical_numbers_and_rerun_says_so(
    project: JudgedRuns, repeated: tuple[str, str]
) -> None:
    name, said = repeated
    assert f"{name} repeats first: all " in said
    assert "numbers are identical to the last bit" in said
    first, again = (np.load(project.run_dir(one) / "scores_test.npz")["scores"] for one in ("first", name))
    np.testing.assert_array_equal(first, again)
    assert json.loads((project.run_dir(name) / "rerun.json").read_text())["agrees"] is True
    assert card(project, name)["repeats"]["of"] == "first"
    assert card(project, name)["changed"] == card(project, "first")["changed"]


def test_another_seed_is_told_apart_with_how_far(project: JudgedRuns, repeated: tuple[str, str]) -> None:
    before = project.names()
    answer = project.ctrkit("rerun", "first", "rerun.seed=1", small=False, check=False)
    name = project.newest_but(*before)
    try:
        assert answer.status == 1
        assert "with seed 1 instead of 0" in answer.out
        auc, other = (card(project, one)["evaluations"]["test"]["metrics"]["auc"] for one in ("first", "second"))
        assert "test auc" in answer.out
        assert f"{auc!r} then, {other!r} now" in answer.out  # The seed of `second` gives the numbers of `second`.
        assert "Run first was not reproduced" in answer.err
        assert "numbers differ, the most by" in answer.err
    finally:
        shutil.rmtree(project.run_dir(name))


def test_a_log_that_changed_is_refused(project: JudgedRuns, tmp_path: Path) -> None:
    copy = JudgedRuns(tmp_path, project.uri)
    shutil.copytree(project.folder / "artifacts", tmp_path / "artifacts")
    config = copy.run_dir("first") / "config.yaml"
    config.write_text(config.read_text().replace("rows: 12000", "rows: 11000"))
    answer = copy.ctrkit("rerun", "first", small=False, check=False)
    assert answer.status == 1
    assert "Run first cannot be repeated" in answer.err
    assert "has other content" in answer.err
    assert "train records:" in answer.err


# --- compare ----------------------------------------------------------------------------------------------------------


def test_compare_shows_differing_settings_and_paired_differences(project: JudgedRuns) -> None:
    said = project.ctrkit("compare", "first", "second", small=False).out
    lines = [line.split() for line in said.splitlines()]
    assert ["seed", "0", "1"] in lines
    assert not [line for line in lines if line[:1] == ["model.dim"]]  # The same in both.
    assert not [line for line in lines if line[:1] == ["model.seed"]]  # It follows `seed`, which is told.
    first, second = (np.load(project.run_dir(one) / "scores_test.npz") for one in ("first", "second"))
    aucs = [metrics.roc_auc_score(first["labels"], one["scores"]) for one in (first, second)]
    (row,) = [line for line in lines if line[:1] == ["AUC"]]
    assert [float(value) for value in row[1:3]] == pytest.approx(aucs, abs=1e-5)
    assert float(row[3].rstrip("*")) == pytest.approx(aucs[1] - aucs[0], abs=1.1e-5)
    assert "part test, 1,200 rows" in said


def test_more_than_two_are_compared_with_the_first(project: JudgedRuns, repeated: tuple[str, str]) -> None:
    said = project.ctrkit("compare", "first", "second", repeated[0], small=False).out
    (row,) = [line for line in said.splitlines() if line.split()[:1] == ["AUC"]]
    assert row.rstrip().endswith("+0.00000  (+0.00000 to +0.00000) 1.0000")  # The repetition.
    assert "2 comparisons" in said


def test_runs_scored_on_different_rows_are_refused(project: JudgedRuns, tmp_path: Path) -> None:
    copy = JudgedRuns(tmp_path, project.uri)
    shutil.copytree(project.folder / "artifacts", tmp_path / "artifacts")
    scores = dict(np.load(copy.run_dir("second") / "scores_test.npz"))
    cut = {name: array if array.ndim == 0 else array[:-7] for name, array in scores.items()}
    np.savez(copy.run_dir("second") / "scores_test.npz", **{**cut, "records": np.array("others")})
    answer = copy.ctrkit("compare", "first", "second", small=False, check=False)
    assert answer.status == 1
    assert "first and second were scored on different rows: 1,200 rows against 1,193" in answer.err


def test_a_run_that_is_none_names_the_nearest(project: JudgedRuns) -> None:
    answer = project.ctrkit("compare", "first", "secnd", small=False, check=False)
    assert answer.status == 1
    assert "No run 'secnd' below artifacts" in answer.err
    assert "Did you mean 'second'?" in answer.err


# --- card -------------------------------------------------------------------------------------------------------------


def test_the_card_tells_what_the_run_was_made_of(project: JudgedRuns) -> None:
    found = card(project, "second")
    assert found["question"].startswith("Does the whole way from a log to a served score work")
    assert found["changed"]["seed"] == {"value": 1, "default": 0}
    assert found["changed"]["data.build.rows"] == {"value": 12000, "default": 300000}
    assert "training.seed" not in found["changed"]  # It follows the seed.
    assert found["data"]["parts"]["test"]["rows"] == 1200
    (log,) = found["data"]["files"]
    import hashlib

    assert log["sha256"] == hashlib.sha256(Path(log["path"]).read_bytes()).hexdigest()
    times = {part: facts["time"] for part, facts in found["data"]["parts"].items()}
    assert times["train"][0] < times["train"][1] <= times["test"][0] < times["test"][1]
    evaluation = found["evaluations"]["test"]
    low, high = evaluation["intervals"]["auc"]
    assert low < evaluation["metrics"]["auc"] < high
    assert {one["feature"] for one in evaluation["slices"]} >= {"device", "gender", "slot"}
    assert found["environment"]["packages"]["tensorflow"]
    assert found["seeds"] == {"seed": 1}
    seeds = found["over_seeds"]
    assert seeds["seeds"] == [0, 1]
    aucs = [card(project, name)["evaluations"]["test"]["metrics"]["auc"] for name in ("first", "second")]
    assert seeds["metrics"]["auc"]["mean"] == pytest.approx(np.mean(aucs))


def test_a_browser_shows_the_cards_figures_and_plots(project: JudgedRuns, window: Browser, tmp_path: Path) -> None:
    page, found = project.run_dir("second") / "card.html", card(project, "second")
    window.resize(1200, 1600)
    window.open(page.as_uri())
    text = window.text()
    evaluation = found["evaluations"]["test"]
    low, high = evaluation["intervals"]["auc"]
    for expected in (found["question"], f"{evaluation['metrics']['auc']:.4f}", f"{low:.4f} to {high:.4f}", "device"):
        assert expected in text
    pictures = window.run("return [...document.images].map(one => [one.alt, one.complete, one.naturalWidth])")
    assert [one[0] for one in pictures] == ["ROC curve, part test", "Calibration, part test", "Learning curve"]
    assert all(complete and width > 400 for _, complete, width in pictures)
    bars = window.run("return document.querySelectorAll('#slices svg circle').length")
    assert bars == len([one for one in evaluation["slices"] if one["auc"] is not None])
    assert window.run("return document.querySelector('#configuration mark').offsetWidth") > 0
    loaded = window.run("return performance.getEntriesByType('resource').map(one => one.name)")
    assert [one for one in loaded if not one.startswith("data:")] == []
    for width in (1200, 390):
        window.resize(width, 1600)
        window.open(page.as_uri())
        overflow = window.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"the page is wider than a screen of {width}"
        window.screenshot(tmp_path / f"card-{width}.png")


def test_mlflows_pages_show_the_metrics_and_the_card(
    project: JudgedRuns, server: Server, window: Browser, tmp_path: Path
) -> None:
    link = json.loads((project.run_dir("second") / "tracking.json").read_text())
    auc = card(project, "second")["evaluations"]["test"]["metrics"]["auc"]
    window.resize(1400, 1400)
    window.open(link["url"])
    shows = "return document.body.innerText.includes(arguments[0])"
    window.wait_for(shows, "test_auc")
    window.wait_for(shows, f"{auc:.4f}"[:6])
    window.wait_for(shows, "Does the whole way from a log to a served score work")  # The description.
    window.open(f"{link['url']}/artifacts")
    for name in ("card", "card.html"):
        window.wait_for(CLICK, name)
    assert window.wait_for("return document.querySelector('iframe')?.src")
    window.screenshot(tmp_path / "mlflow-card.png")
    raw = get(f"{server.uri}/get-artifact?path=card%2Fcard.html&run_uuid={link['run_id']}")
    assert raw == (project.run_dir("second") / "card.html").read_bytes()
