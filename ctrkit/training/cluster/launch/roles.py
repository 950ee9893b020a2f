"""Name the roles of a cluster on one machine, and tell each which it is through `TF_CONFIG`."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ctrkit.training.cluster.launch.ports import LOOPBACK

CHIEF = "chief-0"
IN_CLUSTER = ("chief", "worker", "ps")  # The evaluator is outside: inside, it would stall the others.


def role_names(*, workers: int, ps: int, evaluator: bool) -> list[str]:
    """Roles in the order in which they start; `workers` counts all training tasks, the chief among them.

    >>> role_names(workers=2, ps=1, evaluator=True)
    ['ps-0', 'chief-0', 'worker-0', 'evaluator-0']
    """
    names = [f"ps-{i}" for i in range(ps)] + [CHIEF] + [f"worker-{i}" for i in range(workers - 1)]
    return names + (["evaluator-0"] if evaluator else [])


def kind(role: str) -> str:
    """The job of a role.

    >>> kind("worker-3")
    'worker'
    """
    return role.rpartition("-")[0]


def in_cluster(role: str) -> bool:
    """Whether the role has an address in the cluster."""
    return kind(role) in IN_CLUSTER


def tf_config(role: str, ports: Mapping[str, int]) -> str:
    """The `TF_CONFIG` of one role; `ports` has one for each role that is in the cluster, in order of index.

    >>> tf_config("ps-0", {"ps-0": 4001, "chief-0": 4000})
    '{"cluster": {"chief": ["127.0.0.1:4000"], "ps": ["127.0.0.1:4001"]}, "task": {"type": "ps", "index": 0}}'
    """
    addresses = {job: [f"{LOOPBACK}:{port}" for name, port in ports.items() if kind(name) == job] for job in IN_CLUSTER}
    job, _, index = role.rpartition("-")
    return json.dumps(
        {"cluster": {name: of for name, of in addresses.items() if of}, "task": {"type": job, "index": int(index)}}
    )
