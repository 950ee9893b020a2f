"""A process of the tests that promotes: in competition with others, or in children of its own that are to be killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from ctrkit.checksum import directory_checksum
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema
from ctrkit.tracking import locate
from ctrkit.tracking.aliases import ChampionChangedError, point_champion
from ctrkit.tracking.registry import Registry
from ctrkit.tracking.registry_lock import changing
from tests.tracking.exports import log_export, write_export


def crowd(work_root: Path, name: str, versions: list[int]) -> None:
    """Promote these versions one after the other, against whatever is champion then."""
    registry = Registry(locate(work_root=work_root, environment={}))
    for number in versions:
        while True:
            version, expected = registry.version(name, number), registry.model(name).aliases.get("champion")
            try:
                move = point_champion(registry, version, expected=expected)
            except ChampionChangedError:
                continue
            print(json.dumps({"version": number, "before": move.before}), flush=True)
            break


def one_by_one(work_root: Path, name: str, folder: Path) -> None:
    """Promote one export after the other, each in a child: it is killed, and another promotes the same again."""
    schema = Schema.from_dict({"label": "click", "features": {"ad": {"kind": "categorical", "side": "item"}}})
    index = FeatureIndex(schema, {"ad": Vocabulary.of(["a"], [1])}, {})
    warm_up(work_root, folder, index)
    print("ready", flush=True)
    for line in sys.stdin:
        number, seconds = line.split()
        path = write_export(folder / number / "export", index, number)
        child = started(work_root, name, path, index, number)
        print("killed" if killed_after(float(seconds), child) else "ended", flush=True)
        sys.stdin.readline()
        status = os.waitpid(started(work_root, name, path, index, number), 0)[1]
        print("promoted" if status == 0 else f"status {status}", flush=True)


def warm_up(work_root: Path, folder: Path, index: FeatureIndex) -> None:
    """Import all that the children need, in a store of its own: they must not inherit a connection to theirs."""
    (folder / "warm").mkdir()
    shutil.copy(work_root / "mlflow.db", folder / "warm" / "mlflow.db")
    path = write_export(folder / "warm" / "export", index, "warm")
    log_export(locate(work_root=folder / "warm", environment={}), path, index, experiment="warm")


def started(work_root: Path, name: str, path: Path, index: FeatureIndex, number: str) -> int:
    """Promote in a child; returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        location = locate(work_root=work_root, environment={})
        registry = Registry(location)
        kept = path.parent / "run"
        digest = directory_checksum(path)
        model_id = registry.logged_model(kept.read_text(), digest) if kept.exists() else None
        if model_id is None:
            run_id, model_id = log_export(location, path, index, experiment="killed")
            kept.write_text(run_id)
        registry.create(name)
        with changing(registry, name):
            version = registry.register(name, model_id, {"ctrkit.run": number})
        registry.check(version)
        point_champion(registry, version, expected=registry.model(name).aliases.get("champion"))
        status = 0
    finally:
        os._exit(status)


def killed_after(seconds: float, child: int) -> bool:
    """Kill the child unless it ends before; whether it was."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    root, what, model, *words = sys.argv[1:]
    if what == "crowd":
        crowd(Path(root), model, [int(word) for word in words])
    else:
        one_by_one(Path(root), model, Path(words[0]))
