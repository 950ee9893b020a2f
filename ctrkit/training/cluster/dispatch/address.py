"""Where the chief's dispatch service listens: a small file in the folder of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ctrkit.atomic import write_json


@dataclass(frozen=True, kw_only=True)
class Address:
    """What `dispatch.json` says."""

    host: str
    port: int
    pid: int  # Of the chief.
    service: str  # Random: tells this service from another that later got the same port.
    generation: int  # Rises each time the chief starts, or restores an older state.
    fingerprint: str  # Of the feature index.
    ended: Mapping[str, str] | None = None  # {"status": …, "reason": …} once the training is over.

    @property
    def target(self) -> str:
        """As gRPC wants it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def write(self, run_dir: Path) -> None:
        path = dispatch_file(run_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))

    @classmethod
    def read(cls, run_dir: Path) -> Address | None:
        """None when there is no such file, or none that this version understands."""
        try:
            content: dict[str, Any] = json.loads(dispatch_file(run_dir).read_text(encoding="utf-8"))
            return cls(**content)
        except (OSError, ValueError, TypeError):
            return None


def dispatch_file(run_dir: Path) -> Path:
    """`cluster/dispatch.json` of a run."""
    return run_dir / "cluster" / "dispatch.json"
