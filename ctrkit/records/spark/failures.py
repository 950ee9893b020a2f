"""What went wrong on an executor, found in what Spark says of it."""

from __future__ import annotations

import re

from ctrkit import errors
from ctrkit.errors import CtrkitError

_OURS = re.compile(r"ctrkit\.errors\.(\w+): ([^\n]*)")  # Messages are of one line.
_PYTHON = re.compile(r"^(\w[\w.]*(?:Error|Exception|Interrupt|Exit)): ?(.*)$", re.MULTILINE)
_LONGEST = 400  # Letters of what Spark says.


def raised(error: BaseException) -> CtrkitError | None:
    """The error of ctrkit's that a task raised, where it was one."""
    found = _OURS.search(str(error))
    kind = None if found is None else getattr(errors, found.group(1), None)
    if found is None or not (isinstance(kind, type) and issubclass(kind, CtrkitError)):
        return None
    return kind(found.group(2))


def explained(error: BaseException) -> str:
    """In one sentence what Spark complained about, and what to try."""
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text or "Java gateway process exited" in text:
        return f"its Java process ended at once ({_short(text)}). Spark 4 needs Java 17: `java -version`."
    if any(word in text for word in ("Connection refused", "Answer from Java side is empty", "Error while sending")):
        return (
            "its driver process (Java) ended. Run the same command again; if it was killed for memory, give less or "
            "more: 'data.spark.conf={spark.driver.memory: 4g}'."
        )
    if "OutOfMemoryError" in text:
        return (
            f"a Java process ran out of memory ({_short(_cause(text))}). Give more: "
            "'data.spark.conf={spark.executor.memory: 8g, spark.driver.memory: 4g}', or take a smaller "
            "data.prepare.chunk_bytes."
        )
    return f"{_short(_cause(text)).rstrip('.')}."


def _cause(text: str) -> str:
    """The line that tells most: the last error of a Python traceback, else the reason why the job was given up."""
    python = [match.group(0) for match in _PYTHON.finditer(text) if "." not in match.group(1)]
    if python:
        return python[-1]
    aborted = re.search(r"(?:most recent failure|Reason|Caused by|SparkException): *([^\n]+)|^: ([^\n]+)", text, re.M)
    return (aborted.group(1) or aborted.group(2)) if aborted else text


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
