"""Which parameter server a variable of a graph gets: the one that the plan names, with its slots."""

from __future__ import annotations

import pytest
import tensorflow as tf

from ctrkit.training.cluster.devices import PlannedDevices, placed

v1 = tf.compat.v1
PLANNED = {"deep/table/part_0": 1, "deep/table/part_1": 2, "dense/kernel": 1, "deep/dense/kernel": 2, "table": 2}


def graph_of(*names: str, rest: int = 0) -> dict[str, int]:
    """Where variables of these names really are in a graph for three parameter servers."""
    setter = v1.train.replica_device_setter(
        ps_tasks=3, worker_device="/job:worker/task:1", ps_strategy=PlannedDevices(PLANNED, rest=rest)
    )
    with tf.Graph().as_default() as graph, graph.device(setter):
        for name in names:
            v1.get_variable(name, shape=[2], use_resource=True)
        v1.get_variable("own", shape=[2], collections=[v1.GraphKeys.LOCAL_VARIABLES])
        tf.constant(1.0, name="work")
        return placed(graph)


def test_each_planned_variable_is_where_the_plan_says() -> None:
    assert graph_of(*PLANNED) == PLANNED


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("deep/table/part_1/accumulator", 2),
        ("training/Adagrad/deep/table/part_0/accumulator", 1),
        ("deep/dense/kernel/m", 2),  # Not that of dense/kernel, whose name is part of it.
        ("dense/kernel/m", 1),
        ("deep/table/part_10", 2),  # No part of the plan: what is known of it is the name of its table.
        ("other/dense/kernel_1/m", 0),
        ("tables/m", 0),
        ("global_step", 0),
    ],
)
def test_a_slot_goes_along_with_the_variable_that_owns_it(name: str, task: int) -> None:
    assert graph_of(name) == {name: task}


def test_what_no_plan_names_goes_to_one_server() -> None:
    assert graph_of("learning_rate", "beta", rest=1) == {"learning_rate": 1, "beta": 1}


def test_variables_that_are_on_no_parameter_server_are_left_out() -> None:
    with tf.Graph().as_default() as graph:
        with tf.device("/job:worker/task:0"):
            v1.get_variable("local", shape=[2])
        with tf.device("/job:ps"):
            v1.get_variable("first", shape=[2])
        v1.get_variable("anywhere", shape=[2])
        assert placed(graph) == {"first": 0}
