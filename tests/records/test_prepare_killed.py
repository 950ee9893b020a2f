"""`prepare` killed at any moment leaves nothing that is taken for whole, and the next run gives the same output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctrkit.records import prepare
from tests.records.engine_contract import impressions, schema_of, write_text

# Counts the file system calls of `prepare` and kills the process without warning at the given one, in a fork each.
DRIVER = """
import json, os, shutil, signal, sys
from pathlib import Path
import ctrkit.records.prepare
from ctrkit.errors import ArtifactError
from ctrkit.records import Prepared, prepare
from tests.records.engine_contract import contents, schema_of
from tests.records.forks import in_a_fork

CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
log, old_log, work, undisturbed = map(Path, sys.argv[1:5])
moments = int(sys.argv[5])

def run(path, kill_at=None):
    calls = []
    def hook(event, arguments):
        if event in CALLS:
            places = [str(argument) for argument in arguments if isinstance(argument, (str, os.PathLike))]
            calls.append(event in ("os.rename", "os.remove") and any(Path(place).parent == work for place in places))
            if len(calls) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    fingerprint = prepare(schema_of("csv"), path, work).fingerprint
    return {"calls": calls, "fingerprint": fingerprint}

def found():
    try:
        return Prepared.open(work).fingerprint
    except ArtifactError as error:
        return str(error)

def again():
    return {"fingerprint": run(log)["fingerprint"], "differs": contents(work) != contents(undisturbed)}

old, _ = in_a_fork(lambda: run(old_log))
kept = shutil.copytree(work, work.with_name("kept"))
first, _ = in_a_fork(lambda: run(log))
calls = first["calls"]
swaps = {i + 1 for i, in_place in enumerate(calls) if in_place and i > len(calls) // 2}  # Where old makes way for new.
every = range(1, len(calls) + 1)
spread = every[:: max(1, len(calls) // moments)]
results = []
for moment in sorted({*swaps, *spread}):
    shutil.rmtree(work)
    shutil.copytree(kept, work)
    _, killed = in_a_fork(lambda: run(log, moment))
    after, _ = in_a_fork(found)
    later, _ = in_a_fork(again)
    left = [str(path.relative_to(work)) for path in work.rglob("*incomplete*")]
    results.append({"moment": moment, "killed": killed, "after": after, "again": later, "left": left})
print(json.dumps({"old": old["fingerprint"], "new": first["fingerprint"], "results": results}))
"""


def killed_at(tmp_path: Path, moments: int) -> None:
    log = write_text(tmp_path / "log.csv", impressions(300))
    old_log = write_text(tmp_path / "old.csv", impressions(200, seed=3))
    undisturbed = prepare(schema_of("csv"), log, tmp_path / "undisturbed")
    command = [sys.executable, "-c", DRIVER, str(log), str(old_log), str(tmp_path / "work")]
    command += [str(undisturbed.work_dir), str(moments)]
    environment = {**os.environ, "CTRKIT_QUIET": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    told = json.loads(output)
    assert told["old"] != told["new"] == undisturbed.fingerprint
    states = set()
    for result in told["results"]:
        whole = result["after"] in (told["old"], told["new"])
        states.add("whole" if whole else "refused")
        assert whole or "Run `ctrkit prepare` again" in result["after"], result
        assert result["again"] == {"fingerprint": told["new"], "differs": False}, result
        assert result["left"] == [], result
    assert sum(result["killed"] for result in told["results"]) > 5
    assert states == {"whole", "refused"}


def test_kill_at_some_moments_leaves_nothing_half_written(tmp_path: Path) -> None:
    killed_at(tmp_path, moments=3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kill_at_many_moments_leaves_nothing_half_written(tmp_path: Path) -> None:
    killed_at(tmp_path, moments=40)
