"""The end of a run on a cluster: judge what nobody has judged, and hand the best weights back."""

from __future__ import annotations

from ctrkit.training.cluster.evaluator import evaluate_checkpoint, newest_of
from ctrkit.training.cluster.job import Job
from ctrkit.training.cluster.judgement import Hearing
from ctrkit.training.fit import TrainingResult
from ctrkit.training.loop import Plan
from ctrkit.training.run_state import RunState
from ctrkit.training.weights import load_weights


def conclude(job: Job, plan: Plan, state: RunState, hearing: Hearing, resumed_from: int | None) -> TrainingResult:
    """Load the best weights into the job's model, and return what became of the run."""
    last = newest_of(job.run_dir)
    judgement = hearing.listen()
    if last is not None and not judgement.knows(last[1]):
        evaluate_checkpoint(job, last[0], judgement)
        judgement = hearing.listen()
    best_step = load_weights(job.model, job.run_dir, fingerprint=job.fingerprint)
    evaluations = [
        {"step": one.step, **{f"validation_{name}": value for name, value in one.metrics.items()}}
        for one in judgement.evaluations
    ]
    max_steps = job.options.max_steps
    if judgement.stopping.is_over and state.step < plan.steps:
        reason = "early_stopping"
    else:
        reason = "max_steps" if max_steps is not None and plan.steps == max_steps else "epochs"
    return TrainingResult(
        steps=state.step,
        rows=min(state.step * plan.batch_size, job.records.rows * job.options.epochs),
        seconds=state.seconds,
        samples_per_second=state.samples_per_second,
        best_step=best_step,
        metrics=dict(judgement.stopping.best_metrics),
        history=sorted([*state.history, *evaluations], key=lambda report: report["step"]),
        stopped_because=reason,
        resumed_from=resumed_from,
    )
