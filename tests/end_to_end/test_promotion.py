"""Runs trained for real, promoted through the gates, and served from the registry while the alias moves."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from ctrkit.checksum import directory_checksum
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from ctrkit.serving.client import Client
from ctrkit.tracking import locate
from ctrkit.tracking.registry import Registry
from tests.end_to_end.judged_runs import SMALL, JudgedRuns
from tests.tracking.exports import register

pytestmark = pytest.mark.slow

SYNTHETIC = Path(__file__).resolve().parents[2] / "conf" / "schema" / "synthetic.yaml"
PATIENT = ("promotion.latency_ms=1000", "promotion.requests=100", "verify.rows=50")  # The machine may be busy.


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> JudgedRuns:
    """A run `first`, and `worse`, which was hardly trained."""
    folder = tmp_path_factory.mktemp("promoted")
    made = JudgedRuns(folder, f"sqlite:///{folder}/artifacts/mlflow.db")
    made.ctrkit("train", "run=first")
    made.ctrkit("train", "run=worse", "training.max_steps=3")
    return made


@pytest.fixture(scope="module")
def store(project: JudgedRuns) -> Any:
    """MLflow's own client: the other route to what was registered."""
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=project.uri, registry_uri=project.uri)


@dataclass(frozen=True)
class Promoted:
    """What there was right after `first` was promoted, of which nothing but the training had been done, and again."""

    said: str
    aliases: dict[str, int]
    promotion: dict[str, Any]
    version: Any
    run_tags: dict[str, str]
    card: dict[str, Any]
    said_again: str
    aliases_after: dict[str, int]
    versions_after: int


@pytest.fixture(scope="module")
def promoted(project: JudgedRuns, store: Any) -> Promoted:
    """Other tests change the registry, in whatever order they are run."""
    said = project.ctrkit("promote", "first", "--to", "champion", *PATIENT).out
    version = store.get_model_version("quickstart", "1")
    then = {
        "aliases": aliases(store),
        "promotion": promotion(project, "first"),
        "version": version,
        "run_tags": dict(store.get_run(version.run_id).data.tags),
        "card": json.loads((project.run_dir("first") / "card.json").read_text()),
    }
    again = project.ctrkit("promote", "run=first", "to=champion", *PATIENT).out
    count = len(store.search_model_versions("name='quickstart'"))
    return Promoted(said=said, **then, said_again=again, aliases_after=aliases(store), versions_after=count)


def aliases(store: Any) -> dict[str, int]:
    return {alias: int(version) for alias, version in store.get_registered_model("quickstart").aliases.items()}


def promotion(project: JudgedRuns, run: str) -> dict[str, Any]:
    return dict(json.loads((project.run_dir(run) / "promotion.json").read_text()))


def gate(project: JudgedRuns, run: str, name: str) -> dict[str, Any]:
    (found,) = [one for one in promotion(project, run)["gates"] if one["name"] == name]
    return dict(found)


def test_a_first_promotion_does_all_that_was_not_done_and_passes_what_it_cannot_compare(
    project: JudgedRuns, promoted: Promoted
) -> None:
    run_dir = project.run_dir("first")
    assert "quickstart version 1 is now champion" in promoted.said
    assert "next: ctrkit serve models:/quickstart@champion" in promoted.said
    assert promoted.aliases == {"champion": 1}
    verdicts = {one["name"]: one["verdict"] for one in promoted.promotion["gates"]}
    assert verdicts == {
        **dict.fromkeys(("parity", "calibration", "slices", "latency"), "passed"),
        **dict.fromkeys(("auc", "log_loss", "index"), "skipped"),
    }
    digest = directory_checksum(run_dir / "export" / "1")
    assert promoted.promotion["digest"] == digest
    tags = promoted.version.tags
    assert tags["ctrkit.digest"] == digest
    assert tags["gate.verdict"] == "passed"
    assert tags["gate.auc"] == "skipped: there is no champion yet to compare with"
    gates = {key: value for key, value in tags.items() if key.startswith("gate.")}
    assert gates.items() <= promoted.run_tags.items()
    assert promoted.card["promotion"]["moved"] is True
    assert promoted.card["verification"]["digest"] == promoted.card["latency"]["digest"] == digest
    assert "predicted over observed clicks" in (run_dir / "card.html").read_text()


def test_promoting_again_changes_nothing(promoted: Promoted) -> None:
    assert "quickstart version 1 is champion\n" in promoted.said_again
    assert "replaying" not in promoted.said_again  # Nothing is measured twice.
    assert promoted.aliases_after == {"champion": 1}
    assert promoted.versions_after == 1


def test_a_worse_model_is_refused_and_told_by_how_much(project: JudgedRuns, promoted: Promoted, store: Any) -> None:
    gates = "promotion.gates=[auc,log_loss,calibration]"
    before = aliases(store)
    answer = project.ctrkit("promote", "worse", "--to=champion", *PATIENT, gates, check=False)
    assert answer.status == 1
    number = promotion(project, "worse")["version"]
    assert f"quickstart version {number} does not become champion; version 1 stays champion." in answer.err
    assert "auc: AUC -" in answer.err
    assert aliases(store) == before
    arrays = {run: np.load(project.run_dir(run) / "scores_test.npz") for run in ("first", "worse")}
    labels = arrays["first"]["labels"]
    aucs = {run: metrics.roc_auc_score(labels, found["scores"]) for run, found in arrays.items()}
    losses = {run: metrics.log_loss(labels, found["scores"].astype(float)) for run, found in arrays.items()}
    assert gate(project, "worse", "auc")["figure"] == pytest.approx(aucs["worse"] - aucs["first"], abs=1e-9)
    assert gate(project, "worse", "log_loss")["figure"] == pytest.approx(losses["worse"] - losses["first"], abs=1e-6)
    assert promotion(project, "worse")["verdict"] == "failed"
    assert promotion(project, "worse")["moved"] is False
    version = store.get_model_version("quickstart", str(number))
    assert version.tags["gate.verdict"] == "failed"
    assert version.tags["gate.auc"].startswith("failed: AUC -")
    assert version.tags["gate.against"] == "1"


@pytest.mark.parametrize(
    ("asked", "name", "said"),
    [
        ("promotion.latency_ms=0.001", "latency", "ms over"),
        ("promotion.pcoc=[2,3]", "calibration", "out of bounds"),
        ("promotion.slice_pcoc=[3,4]", "slices", "out of bounds"),
    ],
)
def test_each_bound_of_the_configuration_can_stop_a_promotion(
    project: JudgedRuns, promoted: Promoted, store: Any, asked: str, name: str, said: str
) -> None:
    words = ["promote", "first", "--to", "challenger", *PATIENT, f"promotion.gates=[{name}]", asked]
    before = aliases(store)
    answer = project.ctrkit(*words, check=False)
    assert answer.status == 1
    assert f"  {name}: " in answer.err
    assert said in answer.err
    assert "no version is challenger yet" in answer.err
    assert aliases(store) == before


def test_a_champion_without_scores_of_these_rows_is_scored_again(project: JudgedRuns, promoted: Promoted) -> None:
    words = ["promote", "worse", "--to", "trial", *PATIENT, "promotion.gates=[auc,log_loss]"]
    project.ctrkit(*words, check=False)
    kept = {name: gate(project, "worse", name)["figure"] for name in ("auc", "log_loss")}
    scores = project.run_dir("first") / "scores_test.npz"
    scores.rename(scores.with_suffix(".hidden"))
    try:
        said = project.ctrkit(*words, check=False).out
    finally:
        scores.with_suffix(".hidden").rename(scores)
    assert "scoring the 1,200 rows by the champion, version 1" in said
    again = {name: gate(project, "worse", name)["figure"] for name in ("auc", "log_loss")}
    assert again == pytest.approx(kept, abs=1e-5)


def test_scores_of_other_weights_than_those_exported_are_made_again(project: JudgedRuns, promoted: Promoted) -> None:
    path = project.run_dir("first") / "scores_test.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "scores": np.full_like(arrays["scores"], 0.5)})
    project.ctrkit("promote", "first", *PATIENT)
    np.testing.assert_array_equal(np.load(path)["scores"], arrays["scores"])


def test_a_new_index_is_refused_and_let_in_when_that_is_said(
    project: JudgedRuns, promoted: Promoted, tmp_path: Path
) -> None:
    schema = Schema.from_dict({"label": "clicked", "features": {"ad_id": {"kind": "categorical", "side": "item"}}})
    index = FeatureIndex(schema, {"ad_id": Vocabulary.of(["a"], [1])}, {})
    registry = Registry(locate(project.uri))
    register(registry, "other", tmp_path, index, "a champion of another index")
    registry.point("other", "champion", 1)
    words = ["promote", "first", "promotion.name=other", "--to", "trial", *PATIENT, "promotion.gates=[auc,index]"]
    answer = project.ctrkit(*words, check=False)
    assert answer.status == 1
    assert "cannot compare with champion, version 1: it was evaluated on other rows, and cannot score" in answer.err
    ours = {feature.name for feature in Schema.from_yaml(SYNTHETIC).ordered}
    assert f"which clients hold: it has other features ({', '.join(sorted(ours - {'ad_id'}))})" in answer.err
    answer = project.ctrkit(*words, "promotion.allow_new_index=true", "promotion.gates=[index]")
    assert "other version 2 is now trial" in answer.out
    assert "allowed by promotion.allow_new_index" in gate(project, "first", "index")["text"]


def test_what_cannot_be_promoted_is_told(project: JudgedRuns, promoted: Promoted) -> None:
    answer = project.ctrkit("promote", "frist", check=False)
    assert (answer.status, "Did you mean 'first'?" in answer.err) == (1, True)
    answer = project.ctrkit("promote", "first", "tracking=none", check=False)
    assert "tracking is off. Type: tracking=mlflow" in answer.err
    answer = project.ctrkit("promote", "first", "--to", check=False)
    assert "`--to` is without its value" in answer.err
    answer = project.ctrkit("rollback", "adz", check=False)
    assert "No model 'adz' is registered in" in answer.err
    answer = project.ctrkit("rollback", check=False)
    assert "Version 1 is the only champion that there was" in answer.err
    answer = project.ctrkit("serve", "models:/quickstart@champoin", check=False)
    assert "has no alias 'champoin'" in answer.err
    assert "Did you mean 'champion'?" in answer.err
    answer = project.ctrkit("serve", "models:/quickstart", check=False)
    assert "expected models:/NAME@ALIAS" in answer.err
    answer = project.ctrkit("serve", "models:/quickstart@champion", "serving.version_policy=all", check=False)
    assert "serving.version_policy=all does not go with models:/quickstart@champion" in answer.err


@pytest.mark.turn(0)
def test_a_promoting_command_killed_again_and_again_ends_as_if_nothing_had_been(
    project: JudgedRuns, store: Any
) -> None:
    """Of a run that was only trained: it is evaluated, exported, verified, timed, registered and made champion."""
    registry, named = Registry(locate(project.uri)), "promotion.name=killed"
    project.ctrkit("promote", "first", named, *PATIENT)
    project.ctrkit("train", "run=next", "seed=1")
    words = ["promote", "next", named, "promotion.gates=[parity,auc]", *PATIENT, *SMALL, f"tracking.uri={project.uri}"]
    moment, killed = 4.0, 0
    while True:
        process = subprocess.Popen([sys.executable, "-m", "ctrkit.commands.main", *words], cwd=project.folder)
        try:
            process.wait(moment)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        killed, moment = killed + 1, moment * 1.3  # What is done is kept: each time it comes further.
        registry.check(registry.version("killed", registry.model("killed").aliases["champion"]))
    assert (process.returncode, killed > 2) == (0, True)
    for one in store.search_model_versions("name='killed'"):  # One that was made and never pointed at is whole, too.
        registry.check(registry.version("killed", int(one.version)))
    after = registry.model("killed").aliases
    assert registry.version("killed", after["champion"]).tags["ctrkit.run"] == "next"
    assert after["previous"] == 1
    assert promotion(project, "next")["moved"] is True


# --- served -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def serving(project: JudgedRuns, promoted: Promoted) -> Iterator[dict[str, Any]]:
    """A real `ctrkit serve models:/quickstart@champion`; what it announced, and its log."""
    log = project.folder / "serve.log"
    command = [sys.executable, "-m", "ctrkit.commands.main", "serve", "models:/quickstart@champion"]
    command += ["serving.port=0", "serving.rest_port=0", "serving.registry_every=0.2", f"tracking.uri={project.uri}"]
    with open(log, "w") as file:
        process = subprocess.Popen(command, cwd=project.folder, stdout=file, stderr=file)
    try:
        known = project.folder / "artifacts" / "quickstart" / "server.json"
        wait_for(known.exists, process)
        yield {**json.loads(known.read_text()), "log": log, "known": known, "process": process}
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert not known.exists()
    finally:
        process.kill()
        process.wait()


def wait_for(condition: Callable[[], bool], process: Any, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.05)


class Load:
    """Requests sent at fixed times, whatever becomes of those before."""

    def __init__(self, target: str, ids: np.ndarray, *, each_second: float) -> None:
        self._client = Client(target, model="quickstart", deadline=30.0)
        cut = self._client.index.user_width
        self._user, self._items = ids[:1, :cut], ids[:, cut:]
        self._pool, self._stop = ThreadPoolExecutor(8), threading.Event()
        self.sent: list[Future[Any]] = []
        self._sender = threading.Thread(target=self._send, args=[1 / each_second])

    def _send(self, every: float) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.sent.append(self._pool.submit(self._client.connection.hold, self._asked()))
            due += every

    def _asked(self) -> Any:
        return self._client._asking.ranking_of_ids(self._user, self._items, None)

    def __enter__(self) -> Load:
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sender.join()
        self._pool.shutdown()
        self._client.close()

    def versions(self) -> Counter[int]:
        """How many answers each version gave; a request that failed raises what it failed with."""
        return Counter(one.result().version for one in list(self.sent) if one.done())


def test_an_alias_moves_under_load_and_no_request_fails(
    project: JudgedRuns, serving: dict[str, Any], store: Any
) -> None:
    from ctrkit.records import Prepared

    test = Prepared.open(project.folder / "artifacts" / "quickstart").test
    assert test is not None
    ids = test.arrays(limit=100)["ids"]
    with Load(serving["target"], ids, each_second=20) as load:
        wait_for(lambda: load.versions()[1] >= 10, serving["process"])
        project.ctrkit("export", "run=first")
        project.ctrkit("promote", "first", "--to", "champion", *PATIENT)
        second = aliases(store)["champion"]
        wait_for(lambda: load.versions()[second] >= 10, serving["process"])
        hidden = project.folder / "artifacts" / "hidden.db"
        (project.folder / "artifacts" / "mlflow.db").rename(hidden)  # The registry is down.
        try:
            wait_for(lambda: "There is no tracking store" in serving["log"].read_text(), serving["process"])
            answered = load.versions()[second]
            wait_for(lambda: load.versions()[second] >= answered + 10, serving["process"])
        finally:
            hidden.rename(project.folder / "artifacts" / "mlflow.db")
        first = load.versions()[1]
        said = project.ctrkit("rollback", "quickstart", small=False).out
        assert f"quickstart version 1 (run first) is champion again, version {second} is not any more" in said
        wait_for(lambda: load.versions()[1] >= first + 10, serving["process"])
    assert set(load.versions()) == {1, second}
    assert sum(load.versions().values()) == len(load.sent)
    assert aliases(store)["champion"] == 1
    log = serving["log"].read_text()
    assert f"models:/quickstart@champion moved: serving version {second}, run first" in log
    assert f"Version {second} stays. Trying again every 0.2 s." in log
    assert "models:/quickstart@champion can be followed again." in log
    assert promotion(project, "first")["rolled_back"]["to"] == 1
    shutil.rmtree(project.run_dir("first") / "export" / "2")  # As it was, for whichever test comes next.


def test_rank_finds_the_server_of_the_registry(project: JudgedRuns, serving: dict[str, Any]) -> None:
    said = project.ctrkit("rank", "models:/quickstart@champion", "serving.ads=5", small=False).out
    assert "run first" in said
    assert "5 ads ranked by" in said
    assert ", version 1, in" in said
