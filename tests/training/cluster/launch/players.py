"""Roles that play a script instead of training, and what tests see of their processes; nothing of TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

# What every role of these tests begins with; the test adds what it does. It knows nothing of TensorFlow.
PLAYER = """
import json, os, pathlib, signal, socket, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
role = f"{config['task']['type']}-{config['task']['index']}"
here = pathlib.Path(os.environ["PLAYED_IN"])
with (here / f"starts-{role}").open("a") as file:
    file.write(f"{os.getpid()}\\n")
starts = len((here / f"starts-{role}").read_text().split())
def listen():
    port = int(config["cluster"]["ps"][config["task"]["index"]].split(":")[1])
    ears = socket.socket()
    ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    ears.bind(("", port))
    ears.listen()
    return ears
def up():
    (here / f"up-{role}").touch()
def await_file(name):
    while not (here / name).exists():
        time.sleep(0.02)
"""
WELL = """
if role == "ps-0":
    ears = listen()
up()
if role == "chief-0":
    for other in OTHERS:
        await_file(f"up-{other}")
    (here / "over").touch()
await_file("over")
"""


def status_from(folder: Path) -> Callable[[], dict[str, Any] | None]:
    """Like the chief's: nothing before the chief is up, then who else is."""

    def status() -> dict[str, Any] | None:
        up = {path.name[3:]: {"state": "training"} for path in folder.glob("up-*")}
        return {"roles": up} if "chief-0" in up else None

    return status


def all_started(folder: Path) -> list[int]:
    """The numbers of all processes that ever played."""
    return [int(pid) for path in folder.glob("starts-*") for pid in path.read_text().split()]


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)
