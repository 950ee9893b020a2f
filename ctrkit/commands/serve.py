"""`ctrkit serve`: answer TensorFlow Serving's protocols until told to stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from ctrkit.atomic import write_json
from ctrkit.commands.console import say
from ctrkit.commands.workspace import find_run, hint, latest_export, work_dir
from ctrkit.tracking.reference import is_reference

if TYPE_CHECKING:
    from ctrkit.serving import Server, ServingOptions
    from ctrkit.serving.fleet import Fleet

SERVER_FILE = "server.json"  # Tells `ctrkit rank` where the server is.
_NOT_OF_THE_SERVER = ("target", "request", "ads", "client_tls", "registry_every")


def run(config: DictConfig) -> None:
    """Serve the run's latest export, the models of a file, or what the registry says, until Ctrl-C or SIGTERM."""
    if is_reference(str(config.serving.model)):
        from ctrkit.commands.serve_registered import serve_registered

        serve_registered(config)
        return
    options = serving_options(config.serving)
    run_dir = find_run(config)
    exported = latest_export(run_dir)
    stop = stopped_by_signals()
    if options.model_config_file is None:
        say(f"run {run_dir.name}, version {exported.name}: loading and warming")
    else:
        say(f"models of {options.model_config_file}: loading and warming")
    base = exported.parent if options.model_config_file is None else None
    known = work_dir(config) / SERVER_FILE
    facts = {"run": run_dir.name, "run_dir": str(run_dir.absolute()), "model": options.name}
    with serving(base, options) as server, announced(known):
        announce(known, server, exported=exported, **facts)
        tell(server, f"ctrkit rank {hint(config)}" if options.model_config_file is None else None)
        stop.wait()
    say("stopped")


def server_file(config: DictConfig, name: str) -> Path:
    """Where a server of the registered model announces itself."""
    folder = work_dir(config) if name == str(config.name) else Path(str(config.root)) / name
    return folder / SERVER_FILE


def stopped_by_signals() -> threading.Event:
    """An event that Ctrl-C and SIGTERM set from now on."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def serving(base: Path | None, options: ServingOptions) -> Server | Fleet:
    """A server, or several behind one port, to be used in a `with`."""
    from ctrkit.serving import Server
    from ctrkit.serving.fleet import Fleet

    kind: type[Server | Fleet] = Server if options.processes == 1 else Fleet
    return kind(base, options)


@contextlib.contextmanager
def announced(known: Path) -> Iterator[None]:
    """What `announce` writes inside the block goes away with it, unless another server announced itself since."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(known.read_text(encoding="utf-8"))["pid"] == os.getpid():
                known.unlink()


def announce(known: Path, server: Server | Fleet, *, exported: Path, **facts: Any) -> None:
    """Write down for `ctrkit rank` where the server is and what it serves."""
    tls = server.options.tls
    certificate = None if tls is None else str(tls.certificate.resolve())
    content = {"target": server.target, "certificate": certificate, "exported": str(exported.resolve())}
    write_json(known, {**content, "pid": os.getpid(), **facts})


def tell(server: Server | Fleet, rank: str | None) -> None:
    """Say where the server is and, if there is a verb for it, how to ask it."""
    from ctrkit.serving import Server

    options = server.options
    names = ", ".join(server.models.names) if isinstance(server, Server) else f"{options.processes} processes"
    say(f"serving {names} on {server.target} (gRPC, TensorFlow Serving's protocol); Ctrl-C ends it")
    if server.rest_target is not None:
        scheme = "http" if options.tls is None else "https"
        say(f"REST at {scheme}://{server.rest_target}/v1/models/NAME, metrics beside it")
    if rank is not None:
        say(f"in another terminal: {rank}")


def serving_options(serving: DictConfig, **given_here: Any) -> ServingOptions:
    """The server's options from `conf/serving`, and those `given_here` in place of them. Raises `ConfigError`."""
    from ctrkit.serving import ServingOptions

    given: dict[str, Any] = OmegaConf.to_container(serving, resolve=True)  # type: ignore[assignment]
    for name in _NOT_OF_THE_SERVER:
        given.pop(name, None)
    given["name"] = str(given.pop("model"))
    given["labels"] = {} if given["labels"] is None else given["labels"]
    rest_port = given.pop("rest_port")
    given["rest"] = None if rest_port is None else {"port": rest_port}
    given["limits"] = {"max_queue": given.pop("max_queue")}
    return ServingOptions.from_json(json.dumps({**given, **given_here}))
