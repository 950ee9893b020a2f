"""A real PostgreSQL on loopback with data of its own, that ends with the test."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.missing import missing
from tests.tracking.mlflow_server import free_port

PROGRAMS = Path("/usr/lib/postgresql")  # Where Debian puts them, a folder a version.
USER = "postgres"  # PostgreSQL refuses to run as root.
STARTS_WITHIN = 60.0


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Start a server whose data lie in `folder`; yields the URI of an empty database.

    Skips the test where Debian's postgresql or psycopg is missing.
    """
    versions = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not versions:
        missing("no PostgreSQL: apt-get install -y postgresql")
    if importlib.util.find_spec("psycopg") is None:
        missing("no psycopg: pip install 'ctrkit[postgres]'")
    programs = versions[-1].parent
    data, port = folder / "data", free_port()
    owner = _owner(folder)
    _as(owner, [programs / "initdb", "-D", data, "-U", "ctr", "-A", "trust", "-E", "UTF8", "--no-sync"])
    command = [programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    command += ["-c", "unix_socket_directories=", "-c", "fsync=off"]
    with open(folder / "postgres.log", "ab") as log:
        process = subprocess.Popen(_words(owner, command), stdout=log, stderr=log, cwd=folder, start_new_session=True)
    try:
        _wait(programs, port, process, folder / "postgres.log")
        yield f"postgresql://ctr:unused@127.0.0.1:{port}/postgres"
    finally:
        os.killpg(process.pid, signal.SIGINT)  # PostgreSQL's word for: close connections and end.
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _owner(folder: Path) -> str | None:
    """Whom to become; None where this is an ordinary user already."""
    if os.geteuid() != 0:
        return None
    user = pwd.getpwnam(USER)
    os.chown(folder, user.pw_uid, user.pw_gid)
    temporary = Path(tempfile.gettempdir())
    for above in folder.parents:  # pytest's folders are for their owner alone.
        if above.stat().st_uid == 0 and above.is_relative_to(temporary) and above != temporary:
            above.chmod(above.stat().st_mode | 0o011)
    return USER


def _words(owner: str | None, command: list[Path | str]) -> list[str]:
    words = [str(word) for word in command]
    if owner is None:
        return words
    runuser = shutil.which("runuser") or "/sbin/runuser"
    return [runuser, "-u", owner, "--", *words]


def _as(owner: str | None, command: list[Path | str]) -> None:
    done = subprocess.run(_words(owner, command), capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr


def _wait(programs: Path, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode != 0:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
