"""An extension in its place, killed at any moment and run again, extends the same index to the same result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctrkit.records import prepare
from tests.records.engine_contract import schema_of, write_text
from tests.records.test_prepare_extend import later

# Counts the renames and removals of an extension in its folder, and kills a fork of it at some twelve of them.
DRIVER = """
import json, os, shutil, signal, sys
from pathlib import Path
from ctrkit.errors import ArtifactError
from ctrkit.records import Prepared, prepare
from tests.records.engine_contract import contents, schema_of
from tests.records.forks import in_a_fork

log, work, undisturbed = map(Path, sys.argv[1:4])
kept = shutil.copytree(work, work.with_name("kept"))

def run(kill_at=None):
    calls = []
    def hook(event, arguments):
        places = [Path(str(one)) for one in arguments if isinstance(one, (str, os.PathLike))]
        if event in ("os.rename", "os.remove") and any(work in (one.parent, one.parent.parent) for one in places):
            calls.append(event)
            if len(calls) == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    found = prepare(schema_of("csv"), log, work, extend=True)
    return {"calls": len(calls), "fingerprint": found.fingerprint, "parent": found.index.parent}

first, _ = in_a_fork(run)
results = []
for moment in range(1, first["calls"] + 1, max(1, first["calls"] // 12)):
    shutil.rmtree(work)
    shutil.copytree(kept, work)
    _, killed = in_a_fork(lambda: run(moment))
    again, _ = in_a_fork(run)
    results.append({"moment": moment, "killed": killed, **again})
print(json.dumps({"first": first, "results": results}))
"""


@pytest.mark.slow
def test_killed_anywhere_it_extends_the_same_index_again(tmp_path: Path) -> None:
    days = [write_text(tmp_path / f"{day}.csv", later(day)) for day in range(2)]
    old = prepare(schema_of("csv"), days[0], tmp_path / "work")
    undisturbed = prepare(schema_of("csv"), days[1], tmp_path / "other", extend=old.index)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(days[1]), str(tmp_path / "work"), str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root), "CTRKIT_QUIET": "1"},
        cwd=root,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["first"]["fingerprint"] == undisturbed.fingerprint
    assert sum(one["killed"] for one in told["results"]) >= 8
    for one in told["results"]:
        assert (one["fingerprint"], one["parent"]) == (undisturbed.fingerprint, old.fingerprint), one
