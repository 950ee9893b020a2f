"""The command line teaches before it imports anything heavy."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

from ctrkit.commands.verbs import MORE, VERBS, sections

CTRKIT = [sys.executable, "-m", "ctrkit.commands.main"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CTRKIT, *words], capture_output=True, text=True, timeout=120, check=False)


def test_help_answers_in_under_half_a_second() -> None:
    run("--help")  # Writes byte code on a fresh machine.
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert run("--help").returncode == 0
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.5


def test_help_imports_neither_tensorflow_nor_hydra() -> None:
    code = (
        "import sys; from ctrkit.commands.main import main; main(['train', '--help']);"
        "print([m for m in ('tensorflow', 'hydra', 'mlflow', 'polars', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples_that_name_it(verb: str) -> None:
    out = run(verb, "--help").stdout
    assert f"ctrkit {verb}" in out.split("examples")[1]
    assert "keys" in out


def test_an_unknown_verb_names_the_nearest() -> None:
    done = run("trian")
    assert done.returncode == 2
    assert "unknown verb 'trian'. Did you mean 'train'?" in done.stderr


def test_the_overview_lists_every_verb_once_under_a_heading() -> None:
    listed = [verb.name for title, verbs in sections().items() for verb in verbs if title != MORE]
    assert sorted(listed) == sorted(VERBS)
