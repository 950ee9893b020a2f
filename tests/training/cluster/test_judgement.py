"""What the evaluator found: kept between processes, forgotten where the run went back."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.errors import ArtifactError
from ctrkit.training.cluster.judgement import EVALUATIONS, Judgement
from ctrkit.training.early_stopping import EarlyStopping

AUCS = {10: 0.6, 20: 0.8, 30: 0.7, 40: 0.75}


def stopping() -> EarlyStopping:
    return EarlyStopping(metric="auc", patience=2)


def judged(run_dir: Path, steps: list[int]) -> Judgement:
    judgement = Judgement.read(run_dir, stopping())
    for step in steps:
        judgement.add(step, {"auc": AUCS[step]})
    return judgement


def test_a_run_that_nobody_judged_has_no_evaluations(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, stopping())
    assert (judgement.steps, judgement.stopping.best_step, judgement.stopping.is_over) == (set(), None, False)


def test_the_best_is_told_when_it_is_found(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, stopping())
    assert [judgement.add(step, {"auc": auc}) for step, auc in AUCS.items()] == [True, True, False, False]
    assert judgement.stopping.best_step == max(AUCS, key=AUCS.__getitem__)
    assert judgement.stopping.is_over  # Two in a row were no better.


def test_another_process_reads_what_was_written_and_goes_on_from_there(tmp_path: Path) -> None:
    judged(tmp_path, [10, 20, 30]).write(tmp_path)
    other = Judgement.read(tmp_path, stopping())
    assert other.evaluations == [{"step": step, "metrics": {"auc": AUCS[step]}} for step in (10, 20, 30)]
    assert (other.stopping.best_step, other.stopping.since_best) == (20, 1)
    assert not other.add(40, {"auc": AUCS[40]})
    assert other.stopping.is_over


def test_without_a_validation_part_the_newest_is_the_best(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, EarlyStopping(metric=None, patience=None))
    assert [judgement.add(step, {}) for step in (10, 20)] == [True, True]
    assert judgement.stopping.best_step == 20


@pytest.mark.parametrize(("back_to", "kept"), [(40, [10, 20, 30, 40]), (30, [10, 20, 30]), (10, [10, 20]), (0, [20])])
def test_steps_after_the_one_gone_back_to_are_forgotten_but_for_the_best(
    tmp_path: Path, back_to: int, kept: list[int]
) -> None:
    judgement = judged(tmp_path, list(AUCS))
    judgement.forget_after(back_to)
    assert [evaluation["step"] for evaluation in judgement.evaluations] == kept
    assert judgement.steps == set(kept)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / EVALUATIONS).write_text('{"stopping": {', encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"Cannot read .*evaluations\.json.*Train a new run \(run=new\)"):
        Judgement.read(tmp_path, stopping())
