"""Give every variable of a graph the parameter server that the plan names for it."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf


class PlannedDevices:
    """The `ps_strategy` of a `replica_device_setter`: from an operation that holds a variable to a ps task.

    Args:
        tasks: name of a planned variable -> ps task. Its slots (variables whose names contain it) go along.
        rest: task for everything small that no plan names, such as step counts and learning rates.
    """

    def __init__(self, tasks: Mapping[str, int], rest: int = 0) -> None:
        self._tasks, self._rest = dict(tasks), rest

    def __call__(self, op: tf.Operation) -> int:
        """The ps task of the variable that `op` makes."""
        name = op.name
        if name in self._tasks:
            return self._tasks[name]
        owners = [known for known in self._tasks if f"/{known}/" in f"/{name}/"]
        return self._tasks[max(owners, key=len)] if owners else self._rest


def placed(graph: tf.Graph) -> dict[str, int]:
    """Where the variables of a graph really are: name -> ps task. Variables elsewhere are left out."""
    found = {}
    for variable in graph.get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES):
        device = tf.DeviceSpec.from_string(variable.device)
        if device.job == "ps":
            found[variable.op.name] = int(device.task or 0)
    return found
