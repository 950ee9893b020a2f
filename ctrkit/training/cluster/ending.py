"""How the training of a cluster ended: what the chief tells the other tasks, and they their scheduler."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TypeAlias

End: TypeAlias = dict[str, str]  # {"status": one of the following, "reason": text}, as JSON everywhere.
TRAINED, STOPPED, FAILED = "trained", "stopped", "failed"

# Not 0, with which a scheduler would take the task to be done and never start it again beside a chief that goes on; and
# not 1 or 2, which say that the task itself cannot go on.
EXIT_NOT_TRAINED = os.EX_TEMPFAIL  # 75.


def exit_status(end: Mapping[str, str]) -> int:
    """The exit status of a task other than the chief.

    >>> exit_status({"status": TRAINED, "reason": ""}), exit_status({"status": STOPPED, "reason": "SIGTERM"})
    (0, 75)
    """
    return 0 if end["status"] == TRAINED else EXIT_NOT_TRAINED
