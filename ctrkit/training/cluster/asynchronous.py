"""Asynchronous training: TensorFlow's own ParameterServerStrategy, with our placement in the place of round robin."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import parameter_server_strategy
from tensorflow.python.training import device_setter

from ctrkit.training.cluster.devices import PlannedDevices


class PlannedParameterServerStrategy(parameter_server_strategy.ParameterServerStrategyV1):
    """`tf.compat.v1.distribute.experimental.ParameterServerStrategy` that places variables as a plan says.

    TensorFlow 2 hard-codes round robin there; only the device function of its extension is replaced. An Estimator
    copies the strategy: ask the graph for the placement, not this object.
    """

    def __init__(self, planned: PlannedDevices) -> None:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        tf.compat.v1.distribute.Strategy.__init__(self, _Extended(self, resolver, planned))


class _Extended(parameter_server_strategy.ParameterServerStrategyExtended):  # type: ignore[misc]
    def __init__(self, container: Any, resolver: Any, planned: PlannedDevices) -> None:
        self._planned = planned
        super().__init__(container, cluster_resolver=resolver)

    def _initialize_multi_worker(self, cluster_resolver: Any) -> None:
        super()._initialize_multi_worker(cluster_resolver)
        cluster = cluster_resolver.cluster_spec()
        self._variable_device = device_setter.replica_device_setter(
            ps_tasks=len(cluster.as_dict()["ps"]),
            worker_device=self._worker_device,
            merge_devices=True,
            cluster=cluster,
            ps_strategy=self._planned,
        )
