"""What went wrong, in one line."""

from __future__ import annotations

import re

_LONGEST = 200  # Characters.
# What TensorFlow writes around the line that says it: where in the graph, on which task, in which call.
_AROUND = re.compile(
    r"\s*$|\s(?!\s*\(\d+\))|=+\s*$|\d+ root error|Graph execution error:|Detected at node|Node: |Additional GRPC error"
    r"|([A-Z_]+: )?From /job:\S+$"
)
_BEFORE = re.compile(r"\s*(\(\d+\) )?([A-Z]+(_[A-Z]+)*: )?(From /job:\S+ )?(\{\{function_node [^}]*\}\} )*")


def reason_of(error: Exception) -> str:
    """The line of an error's text that says what went wrong, without what TensorFlow writes around it."""
    lines = str(getattr(error, "message", "") or error).splitlines()
    telling = next((line for line in lines if not _AROUND.match(line)), lines[0] if lines else type(error).__name__)
    return (_BEFORE.sub("", telling, count=1) or telling).strip()[:_LONGEST]
