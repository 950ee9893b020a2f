"""Runs an action of a killed-and-run-again test in a fork: only the fork imports nothing anew, and only it dies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any


def in_a_fork(action: Callable[[], Any]) -> tuple[Any, bool]:
    """What `action` gives in a fork of this process (None where it died), and whether it was killed."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        os.write(write, json.dumps(action()).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer else None, os.WIFSIGNALED(status)
