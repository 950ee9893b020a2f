"""`ctrkit prepare` with bad rows: an error that says what to type, or a summary of what was left out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCHEMA = """
format: csv
label: clicked
features:
  user: categorical
  price: {kind: numeric, boundaries: [10, 20]}
"""


def prepare(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ctrkit.commands.main", "prepare", "schema=mine", "data=files"]
    command += ["data.path=log.csv", "work_dir=work", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=120, check=False)


def test_bad_rows_are_told_with_what_to_type_and_then_counted(tmp_path: Path) -> None:
    (tmp_path / "conf" / "schema").mkdir(parents=True)
    (tmp_path / "conf" / "schema" / "mine.yaml").write_text(SCHEMA, encoding="utf-8")
    lines = [f"{i % 2},u{i % 7},{i}\n" for i in range(100)]
    lines[40:40] = ["1,u1,cheap\n", "1,u1\n", "1,u1,1,2\n"]
    (tmp_path / "log.csv").write_text("clicked,user,price\n" + "".join(lines), encoding="utf-8")
    failed = prepare(tmp_path)
    assert failed.returncode != 0
    assert "log.csv, line 43: got 2 values, expected 3" in failed.stderr
    assert "data.bad_rows=skip" in failed.stderr
    too_many = prepare(tmp_path, "data.bad_rows=skip")
    assert "3 of 103 rows do not fit the schema (2.91%, data.max_bad_share is 1.00%)" in too_many.stderr
    assert "type data.max_bad_share=0.04" in too_many.stderr
    done = prepare(tmp_path, "data.bad_rows=skip", "data.max_bad_share=0.04")
    assert done.returncode == 0, done.stderr
    assert "3 of 103 rows (2.913%): 2 number of values, 1 no number in 'price'" in done.stdout
    told = json.loads((tmp_path / "work" / "records" / "rejected.json").read_text(encoding="utf-8"))
    assert [(one["reason"], one["column"], one["rows"]) for one in told["by"]] == [
        ("no number", "price", 1),
        ("number of values", None, 2),
    ]
