"""Which task of a cluster this process is: what a scheduler says in `TF_CONFIG`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean

CHIEF, WORKER, PS, EVALUATOR = "chief", "worker", "ps", "evaluator"
ROLES = (CHIEF, WORKER, PS, EVALUATOR)
VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"chief": ["h0:2222"], "worker": ["h1:2222"], "ps": ["h2:2222"]}, "task": {"type": "ps", "index": 0}}'
)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One process of a cluster."""

    role: str  # One of `ROLES`.
    index: int
    cluster: Mapping[str, tuple[str, ...]]  # Role -> `host:port` of each task; the evaluator is not part of it.

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Task | None:
        """The task that `TF_CONFIG` names; None without the variable, or when it describes one machine alone.

        Raises `ConfigError` with what was got and an example.
        """
        text = (os.environ if environment is None else environment).get(VARIABLE, "").strip()
        if not text:
            return None
        try:
            return _read(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigError(f"{VARIABLE} is {text[:200]!r}: {error}. Expected the like of {_EXAMPLE}") from error

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ConfigError(f"{VARIABLE}: unknown task type {self.role!r}.{did_you_mean(self.role, ROLES)}")
        for role in self.cluster:
            if role not in (CHIEF, WORKER, PS):
                advice = " An evaluator is a task of its own, outside of the cluster." if role == EVALUATOR else ""
                raise ConfigError(
                    f"{VARIABLE}: unknown job {role!r} in the cluster.{did_you_mean(role, (CHIEF, WORKER, PS))}{advice}"
                )
        if len(self.cluster.get(CHIEF, ())) != 1 or not self.cluster.get(PS):
            counts = {role: len(hosts) for role, hosts in self.cluster.items()}
            raise ConfigError(f"{VARIABLE}: got {counts}, expected exactly one chief and at least one ps.")
        listed = len(self.cluster.get(self.role, ()))
        if self.role != EVALUATOR and not 0 <= self.index < listed:
            raise ConfigError(f"{VARIABLE}: task {self.role} {self.index}, but the cluster lists {listed} of them.")

    def to_json(self) -> str:
        """`TF_CONFIG` in the words that TensorFlow understands today."""
        cluster = {role: list(hosts) for role, hosts in self.cluster.items()}
        return json.dumps({"cluster": cluster, "task": {"type": self.role, "index": self.index}})

    @property
    def name(self) -> str:
        """`worker-1`, as screens and logs call it."""
        return f"{self.role}-{self.index}"

    @property
    def worker(self) -> int:
        """Place among the training tasks: the chief is 0, worker i is i + 1."""
        return 0 if self.role == CHIEF else 1 + self.index

    @property
    def workers(self) -> int:
        """Training tasks, the chief among them."""
        return 1 + len(self.cluster.get(WORKER, ()))

    @property
    def ps(self) -> int:
        """Parameter servers."""
        return len(self.cluster[PS])

    @property
    def address(self) -> str:
        """This task's own `host:port`; the evaluator has none."""
        return self.cluster[self.role][self.index]

    @property
    def device(self) -> str:
        """What TensorFlow calls this task."""
        return f"/job:{self.role}/task:{self.index}"


def _read(config: Mapping[str, Any]) -> Task | None:
    cluster = {role: tuple(hosts) for role, hosts in config.get("cluster", {}).items()}
    if CHIEF not in cluster and "master" in cluster:
        cluster[CHIEF] = cluster.pop("master")  # The older word.
    listed = {role: len(hosts) for role, hosts in cluster.items() if hosts}
    if set(listed) <= {CHIEF, WORKER} and sum(listed.values()) <= 1:
        return None
    task = config["task"]
    role = CHIEF if task["type"] == "master" else str(task["type"])
    return Task(role=role, index=int(task["index"]), cluster=cluster)
