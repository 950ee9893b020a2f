"""`ctrkit serve`: answer TensorFlow Serving's protocols until told to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ctrkit.atomic import write_json
from ctrkit.commands.console import say
from ctrkit.commands.workspace import find_run, hint, latest_export, work_dir

if TYPE_CHECKING:
    from ctrkit.serving import ServingOptions

SERVER_FILE = "server.json"  # Tells `ctrkit rank` where the server is.
_OF_RANK = ("target", "request", "ads")


def run(config: DictConfig) -> None:
    """Serve the run's latest export, or the models of a file, until Ctrl-C or SIGTERM."""
    from ctrkit.serving import Server
    from ctrkit.serving.fleet import Fleet

    options = serving_options(config.serving)
    run_dir = find_run(config)
    exported = latest_export(run_dir)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if options.model_config_file is None:
        say(f"run {run_dir.name}, version {exported.name}: loading and warming")
    else:
        say(f"models of {options.model_config_file}: loading and warming")
    kind: type[Server | Fleet] = Server if options.processes == 1 else Fleet
    with kind(exported.parent if options.model_config_file is None else None, options) as server:
        known = work_dir(config) / SERVER_FILE
        write_json(
            known,
            {"target": server.target, "run": run_dir.name, "exported": str(exported.resolve()), "pid": os.getpid()},
        )
        names = ", ".join(server.models.names) if isinstance(server, Server) else f"{options.processes} processes"
        say(f"serving {names} on {server.target} (gRPC, TensorFlow Serving's protocol); Ctrl-C ends it")
        if server.rest_target is not None:
            scheme = "http" if options.tls is None else "https"
            say(f"REST at {scheme}://{server.rest_target}/v1/models/NAME, metrics beside it")
        say(f"in another terminal: ctrkit rank {hint(config)}")
        try:
            stop.wait()
        finally:
            known.unlink(missing_ok=True)
    say("stopped")


def serving_options(serving: DictConfig) -> ServingOptions:
    """The server's options from `conf/serving`. Raises `ConfigError`."""
    from ctrkit.serving import ServingOptions

    given: dict[str, Any] = OmegaConf.to_container(serving, resolve=True)  # type: ignore[assignment]
    for name in _OF_RANK:
        given.pop(name, None)
    given["name"] = str(given.pop("model"))
    given["labels"] = {} if given["labels"] is None else given["labels"]
    rest_port = given.pop("rest_port")
    given["rest"] = None if rest_port is None else {"port": rest_port}
    given["limits"] = {"max_queue": given.pop("max_queue")}
    return ServingOptions.from_json(json.dumps(given))
