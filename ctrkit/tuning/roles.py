"""Which process of a parallel search this is, as keras-tuner tells it by the environment."""

from __future__ import annotations

import os

from ctrkit.errors import ConfigError

TUNER_ID, ADDRESS, PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
CHIEF, WORKER = "chief", "worker"


def role() -> str | None:
    """`chief`, `worker`, or None for a search in one process.

    Raises `ConfigError` when some but not all of keras-tuner's variables are set.
    """
    present = [name for name in (TUNER_ID, ADDRESS, PORT) if os.environ.get(name)]
    if not present:
        return None
    missing = [name for name in (TUNER_ID, ADDRESS, PORT) if name not in present]
    if missing:
        raise ConfigError(
            f"{present[0]} is set, {missing[0]} is not. Set all three for a part of a parallel search ({TUNER_ID}="
            "chief for its chief, tuner0, tuner1, … for workers), or none of them and tuning.workers=2."
        )
    return CHIEF if CHIEF in os.environ[TUNER_ID] else WORKER


def environment(tuner_id: str, port: int) -> dict[str, str]:
    """keras-tuner's variables for a process of this machine."""
    return {TUNER_ID: tuner_id, ADDRESS: "127.0.0.1", PORT: str(port)}
