"""What the evaluator found: kept between processes, forgotten where the run went back, heard of once by the chief."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.errors import ArtifactError
from ctrkit.training.cluster.judgement import EVALUATIONS, Evaluation, Hearing, Judgement
from ctrkit.training.early_stopping import EarlyStopping

AUCS = {10: 0.6, 20: 0.8, 30: 0.7, 40: 0.75}


def stopping() -> EarlyStopping:
    return EarlyStopping(metric="auc", patience=2)


def evaluation(step: int, auc: float | None = None, *, written: str = "first") -> Evaluation:
    return Evaluation(step=step, checkpoint=f"{step}-{written}", metrics={"auc": AUCS[step] if auc is None else auc})


def judged(run_dir: Path, steps: list[int]) -> Judgement:
    judgement = Judgement.read(run_dir, stopping())
    for step in steps:
        judgement.add(evaluation(step))
    return judgement


def test_a_run_that_nobody_judged_has_no_evaluations(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, stopping())
    assert (judgement.evaluations, judgement.best, judgement.stopping.is_over) == ([], None, False)


def test_the_best_is_told_when_it_is_found(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, stopping())
    assert [judgement.add(evaluation(step)) for step in AUCS] == [True, True, False, False]
    assert judgement.stopping.best_step == max(AUCS, key=AUCS.__getitem__)
    assert judgement.best == "20-first"
    assert judgement.stopping.is_over  # Two in a row were no better.


def test_another_process_reads_what_was_written_and_goes_on_from_there(tmp_path: Path) -> None:
    judged(tmp_path, [10, 20, 30]).write(tmp_path)
    other = Judgement.read(tmp_path, stopping())
    assert other.evaluations == [evaluation(step) for step in (10, 20, 30)]
    assert (other.stopping.best_step, other.best, other.stopping.since_best) == (20, "20-first", 1)
    assert not other.add(evaluation(40))
    assert other.stopping.is_over


def test_without_a_validation_part_the_newest_is_the_best(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, EarlyStopping(metric=None, patience=None))
    for step in (10, 20):
        assert judgement.add(Evaluation(step=step, checkpoint=str(step), metrics={}))
    assert (judgement.stopping.best_step, judgement.best) == (20, "20")


def test_a_step_made_again_is_another_checkpoint(tmp_path: Path) -> None:
    judgement = judged(tmp_path, [10, 20])
    assert judgement.knows("20-first")
    assert not judgement.knows("20-again")
    judgement.add(evaluation(20, 0.7, written="again"))
    assert judgement.knows("20-again")


def test_evaluations_from_which_the_run_went_back_use_up_no_patience(tmp_path: Path) -> None:
    judgement = Judgement.read(tmp_path, stopping())
    judgement.add(evaluation(10, 0.9))
    judgement.add(evaluation(20, 0.5))
    judgement.add(evaluation(20, 0.6, written="again"))  # Only one step after the best was no better.
    assert [one.checkpoint for one in judgement.evaluations] == ["10-first", "20-again"]
    assert (judgement.stopping.since_best, judgement.stopping.is_over) == (1, False)
    judgement.add(evaluation(30, 0.5))
    assert judgement.stopping.is_over


def test_the_best_stays_although_the_run_went_back_from_it_until_there_is_a_better_one(tmp_path: Path) -> None:
    judgement = judged(tmp_path, [10, 20, 30])  # The second is the best.
    judgement.add(evaluation(10, 0.5, written="again"))
    assert [one.checkpoint for one in judgement.evaluations] == ["20-first", "10-again"]
    assert not judgement.add(evaluation(20, 0.7, written="again"))
    assert (judgement.best, judgement.stopping.best_step) == ("20-first", 20)
    assert judgement.add(evaluation(30, 0.9, written="again"))
    assert [one.checkpoint for one in judgement.evaluations] == ["10-again", "20-again", "30-again"]


def test_the_best_weights_in_other_parts_are_still_the_best(tmp_path: Path) -> None:
    judgement = judged(tmp_path, [10, 20])
    assert judgement.add(evaluation(20, written="cut anew"))
    assert [one.checkpoint for one in judgement.evaluations] == ["10-first", "20-cut anew"]
    assert (judgement.best, judgement.stopping.since_best) == ("20-cut anew", 0)


@pytest.mark.parametrize("text", ['{"stopping": {', '{"evaluations": [{"step": 3}]}', "{}"])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / EVALUATIONS).write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"Cannot read .*evaluations\.json.*Train a new run \(run=new\)"):
        Judgement.read(tmp_path, stopping())


def test_the_chief_hears_of_each_evaluation_once_and_of_none_before_its_time(tmp_path: Path) -> None:
    judgement = judged(tmp_path, [10])
    judgement.write(tmp_path)
    heard: list[Evaluation] = []
    hearing = Hearing(tmp_path, stopping, heard.append)
    for step in (20, 30):
        judgement.add(evaluation(step))
        judgement.write(tmp_path)
        assert hearing.listen().knows(f"{step}-first")
        hearing.listen()
    judgement.add(evaluation(20, 0.5, written="again"))  # Fewer than before: the run went back.
    judgement.write(tmp_path)
    hearing.listen()
    assert [one.checkpoint for one in heard] == ["20-first", "30-first", "20-again"]


def test_the_chief_hears_that_it_is_time_to_stop_without_reading_the_file_each_time(tmp_path: Path) -> None:
    hearing = Hearing(tmp_path, stopping, lambda _: None)
    judged(tmp_path, list(AUCS)).write(tmp_path)
    assert not hearing.says_over()
    hearing._heard -= 2  # Two seconds later.
    assert hearing.says_over()
