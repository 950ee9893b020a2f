"""Run a whole cluster of processes on this machine, as a scheduler would, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctrkit.errors import ConfigError, TrainingError
from ctrkit.training.cluster.launch.leftovers import MARK, kill_leftovers
from ctrkit.training.cluster.launch.ports import reserved_ports
from ctrkit.training.cluster.launch.restarts import RestartPolicy
from ctrkit.training.cluster.launch.role_process import RoleProcess
from ctrkit.training.cluster.launch.roles import in_cluster, role_names, tf_config
from ctrkit.training.cluster.launch.status_poll import StatusPoll
from ctrkit.training.cluster.launch.stop_signal import stop_signals
from ctrkit.training.cluster.launch.stopping import Grace
from ctrkit.training.cluster.launch.supervision import Screen, Supervision
from ctrkit.training.cluster.launch.watchdog import watchdog


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A cluster that ended well."""

    seconds: float
    restarted: dict[str, int]  # Role -> how often it was started again.
    ended: dict[str, str]  # Role -> how it ended: "exit status 0", "killed by SIGTERM".
    status: dict[str, Any] | None  # The last that the cluster said of itself.


class LocalCluster:
    """`command` in each role of a cluster, told by `TF_CONFIG` which it is.

    Args:
        workers: all training tasks, the chief among them.
        ps: parameter servers.
        evaluator: whether there is one, outside of the cluster.
        log_dir: gets `<role>.log`; a restart goes on in the same file.
        env: on top of this process's environment, for every role.
        env_of: on top of that, by role.
        threads: TensorFlow's and OpenMP's threads in each process; None leaves them alone.
        restarts: of a role that dies.
        status: the cluster's own account, asked once a second in a thread; None when it cannot be had. Without the
            callable only parameter servers are seen coming up.
        up_within: seconds for a role to come up, or to come up again.
        grace: seconds to end in.
        screen: shows it.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        workers: int,
        ps: int,
        evaluator: bool,
        log_dir: Path,
        env: Mapping[str, str] | None = None,
        env_of: Mapping[str, Mapping[str, str]] | None = None,
        threads: int | None = None,
        restarts: RestartPolicy | None = None,
        status: Callable[[], dict[str, Any] | None] | None = None,
        up_within: float = 180.0,
        grace: Grace | None = None,
        screen: Screen | None = None,
    ) -> None:
        for name, value in (("workers", workers), ("ps", ps)):
            if value < 1:
                raise ConfigError(f"cluster.{name}={value}: expected at least 1.")
        self.roles = role_names(workers=workers, ps=ps, evaluator=evaluator)
        unknown = sorted(set(env_of or {}) - set(self.roles))
        if unknown:
            raise ConfigError(f"env_of names {unknown}, but the cluster has {self.roles}.")
        self.log_dir = Path(log_dir)
        self._command, self._env, self._env_of, self._threads = (
            list(command),
            dict(env or {}),
            dict(env_of or {}),
            threads,
        )
        self._restarts, self._grace, self._up_within = restarts or RestartPolicy(), grace or Grace(), up_within
        self._status, self._screen = status, screen
        self._supervision: Supervision | None = None

    def run(self) -> Outcome:
        """Start all roles and return when the chief, and then the others, ended well.

        Raises:
            TrainingError: a role failed for good or never came up; it says which was first, with the end of its log.
            KeyboardInterrupt: on SIGINT, SIGTERM or SIGHUP; a second one kills at once.
        Either way no process is left and no port is taken. It belongs on the main thread: elsewhere no signal is seen.
        """
        self.log_dir.mkdir(parents=True, exist_ok=True)
        token, wake, start = uuid.uuid4().hex, threading.Event(), time.monotonic()
        poll = StatusPoll(self._status) if self._status is not None else None
        with contextlib.ExitStack() as held:
            signals = held.enter_context(stop_signals(wake))
            held.enter_context(watchdog(token))
            inside = [role for role in self.roles if in_cluster(role)]
            ports = dict(zip(inside, held.enter_context(reserved_ports(len(inside))), strict=True))
            held.callback(self._sweep, token)
            if poll is not None:
                held.enter_context(poll.running())
            self._supervision = Supervision(
                processes=self._processes(ports, token, wake),
                ps_ports={role: port for role, port in ports.items() if role.startswith("ps-")},
                restarts=self._restarts,
                grace=self._grace,
                up_within=self._up_within,
                poll=poll,
                signals=signals,
                wake=wake,
                log_dir=self.log_dir,
                screen=self._screen,
            )
            ended = self._supervision.run()
        return Outcome(
            seconds=time.monotonic() - start,
            restarted=self.restarted,
            ended=ended,
            status=poll.last_known if poll is not None else None,
        )

    def pids(self) -> dict[str, int]:
        """Role -> number of its process, of those that run now. May be called from another thread."""
        return {} if self._supervision is None else self._supervision.pids()

    @property
    def restarted(self) -> dict[str, int]:
        """Role -> how often it was started again. May be read from another thread."""
        return dict.fromkeys(self.roles, 0) if self._supervision is None else self._supervision.restarted()

    def _processes(self, ports: Mapping[str, int], token: str, wake: threading.Event) -> Iterable[RoleProcess]:
        for role in self.roles:
            env = {**os.environ, **_surroundings(self._threads), **self._env, **self._env_of.get(role, {})}
            env |= {"TF_CONFIG": tf_config(role, ports), MARK: token}
            yield RoleProcess(role, self._command, env, self.log_dir / f"{role}.log", wake)

    def _sweep(self, token: str) -> None:
        """Also what left its session. The ports are free once this is done: they are given back after it."""
        left = kill_leftovers(token)
        if left:
            raise TrainingError(
                f"Processes {[process.pid for process in left]} of the cluster outlived SIGKILL: they hang inside the "
                "kernel, mostly on a disk that does not answer. They must be gone before the next run."
            )


def _surroundings(threads: int | None) -> dict[str, str]:
    known = {
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
        "TF_GRPC_REUSE_PORT": "true",  # The launcher holds the ports, see `reserved_ports`.
        "PYTHONUNBUFFERED": "1",  # The last lines before a kill are the ones to read.
        "no_proxy": ",".join(filter(None, [os.environ.get("no_proxy"), "127.0.0.1", "localhost"])),
    }
    if threads is not None:
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        known |= dict.fromkeys(names, str(threads))
    return known
