"""Follow an alias of the registry in a process of its own: MLflow and its downloads stay out of the one that answers.

`python -m ctrkit.commands.follow REFERENCE FOLDER SECONDS` with the store in MLFLOW_TRACKING_URI. Each version that was
fetched and checked is a line of JSON on standard output. It ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctrkit.errors import CtrkitError, RegistryError

if TYPE_CHECKING:
    from ctrkit.tracking.reference import ModelReference
    from ctrkit.tracking.registry import RegisteredVersion

RESTART_AFTER = 5.0  # Seconds, where the process died.
LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A version of the registry that lies on this machine, whole."""

    version: int
    path: str
    run: str  # The name of its run.
    run_dir: str  # Where that was, on the machine that promoted it.


class Following:
    """The versions that a reference means, one after the other, as a process of its own finds them."""

    def __init__(self, uri: str, reference: ModelReference, folder: Path, *, every: float) -> None:
        """`uri` is that of the store, `every` the seconds between two looks at an alias; a version does not move."""
        self._command = [sys.executable, "-m", "ctrkit.commands.follow", str(reference), str(folder), f"{every:g}"]
        self._environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}  # It may hold a password: not for `ps`.
        self._shown, self._moves = str(reference), reference.alias is not None
        self._stop = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def __iter__(self) -> Iterator[Fetched]:
        """Raises `RegistryError` where the first cannot be had; later trouble is logged, and waited out."""
        current: Fetched | None = None
        while not self._stop.is_set():
            reason = "it ended without a word"
            try:
                for found in self._said():
                    if found != current:
                        current = found
                        yield found
            except RegistryError as error:
                if current is None:
                    raise
                reason = str(error)
            if self._stop.is_set() or (current is not None and not self._moves):
                return
            if current is None:
                raise RegistryError(f"{self._shown} could not be looked up: the process for it ended without a word.")
            LOG.warning("The process that follows %s is started again: %s", self._shown, reason)
            self._stop.wait(RESTART_AFTER)

    def close(self) -> None:
        """End the process."""
        self._stop.set()
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()

    def _said(self) -> Iterator[Fetched]:
        with subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for the server, which ends this one.
        ) as process:
            self._process = process
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    said = json.loads(line)
                    if "error" in said:
                        raise RegistryError(said["error"])
                    yield Fetched(**said)
            finally:
                process.kill()


def main(arguments: list[str]) -> int:
    """Follow until standard input ends; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    from ctrkit.tracking import locate
    from ctrkit.tracking.follow import Follower
    from ctrkit.tracking.reference import ModelReference
    from ctrkit.tracking.registry import Registry

    text, folder, every = arguments
    stop = threading.Event()
    threading.Thread(target=_stop_at_end_of_input, args=[stop], daemon=True).start()
    reference = ModelReference.parse(text)
    follower = Follower(Registry(locate()), reference, Path(folder), _tell, every=float(every))
    try:
        follower.first()
    except CtrkitError as error:
        _say({"error": str(error)})
        return 1
    if reference.alias is not None:
        follower.run(stop)
    return 0


def _tell(version: RegisteredVersion, path: Path) -> None:
    tags = version.tags
    found = Fetched(
        version=version.version,
        path=str(path.absolute()),
        run=tags.get("ctrkit.run", "unknown"),
        run_dir=tags.get("ctrkit.run_dir", ""),
    )
    _say(asdict(found))


def _say(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)


def _stop_at_end_of_input(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()
    threading.Timer(2.0, os._exit, [0]).start()  # A look that hangs must not outlive the server.


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
