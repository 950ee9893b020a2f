"""What a scheduler says in `TF_CONFIG`: every form that is understood, and what the others are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ctrkit.errors import ConfigError
from ctrkit.training.cluster.task import Task

CLUSTER = {"chief": ["h0:1"], "worker": ["h1:1", "h2:1"], "ps": ["h3:1", "h4:1"]}


def told(cluster: Any, role: str = "chief", index: Any = 0) -> Task | None:
    config = {"cluster": cluster, "task": {"type": role, "index": index}}
    return Task.from_environment({"TF_CONFIG": json.dumps(config)})


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  ",
        "{}",
        json.dumps({"cluster": {}}),
        json.dumps({"cluster": {"worker": ["h:1"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"chief": ["h:1"], "ps": []}, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": {"master": ["h:1"]}, "task": {"type": "master", "index": 0}}),
    ],
)
def test_one_machine_is_no_task_of_a_cluster(text: str | None) -> None:
    assert Task.from_environment({} if text is None else {"TF_CONFIG": text}) is None


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": CLUSTER, "task": {"type": "ps", "index": 1}}))
    task = Task.from_environment()
    assert task is not None
    assert (task.name, task.address, task.device) == ("ps-1", "h4:1", "/job:ps/task:1")


def test_each_training_task_has_its_place_among_all_of_them() -> None:
    tasks = [told(CLUSTER, role, index) for role, index in [("chief", 0), ("worker", 0), ("worker", 1)]]
    assert [task.worker for task in tasks if task is not None] == [0, 1, 2]
    assert {(task.workers, task.ps) for task in tasks if task is not None} == {(3, 2)}


def test_the_older_word_master_means_the_chief() -> None:
    older = {("master" if role == "chief" else role): hosts for role, hosts in CLUSTER.items()}
    assert told(older, "master") == told(CLUSTER, "chief")
    assert told(older, "ps", 1) == told(CLUSTER, "ps", 1)


def test_an_index_may_be_text_as_some_schedulers_write_it() -> None:
    assert told(CLUSTER, "worker", "1") == told(CLUSTER, "worker", 1)


def test_the_evaluator_is_a_task_outside_of_the_cluster() -> None:
    task = told(CLUSTER, "evaluator", 0)
    assert task is not None
    assert (task.name, task.workers, task.ps) == ("evaluator-0", 3, 2)


@pytest.mark.parametrize(
    ("cluster", "role", "index", "message"),
    [
        (CLUSTER, "wroker", 0, r"TF_CONFIG: unknown task type 'wroker'\. Did you mean 'worker'\?"),
        (CLUSTER, "worker", 2, r"task worker 2, but the cluster lists 2 of them"),
        (CLUSTER, "ps", -1, r"task ps -1, but the cluster lists 2 of them"),
        ({**CLUSTER, "chief": []}, "ps", 0, r"got \{'chief': 0, .*expected exactly one chief and at least one ps"),
        ({**CLUSTER, "chief": ["a:1", "b:1"]}, "ps", 0, r"got \{'chief': 2, .*expected exactly one chief"),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "chief", 0, r"expected exactly one chief and at least one ps"),
        (
            {**CLUSTER, "evaluator": ["h5:1"]},
            "ps",
            0,
            r"unknown job 'evaluator'.*a task of its own, outside of the clus",
        ),
        ({**CLUSTER, "pss": ["h5:1"]}, "ps", 0, r"unknown job 'pss' in the cluster\. Did you mean 'ps'\?"),
        (
            CLUSTER,
            "worker",
            "one",
            r"invalid literal.*Expected the like of \{\"cluster\": \{\"chief\": \[\"h0:2222\"\]",
        ),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(cluster: Any, role: str, index: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        told(cluster, role, index)


@pytest.mark.parametrize("text", ["{'cluster'", "[1]", json.dumps({"cluster": CLUSTER}), json.dumps({"cluster": 3})])
def test_what_is_no_tf_config_is_shown_beside_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"TF_CONFIG is .*Expected the like of \{\"cluster\"") as caught:
        Task.from_environment({"TF_CONFIG": text})
    assert repr(text) in str(caught.value)
