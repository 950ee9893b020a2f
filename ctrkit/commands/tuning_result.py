"""What a search ends with: finalists, a table, two figures and the winner's experiment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import atomic_file, write_json
from ctrkit.commands.console import say
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.trial_training import TrialTraining, with_values
from ctrkit.commands.tuned_experiment import experiment_text, signed, tuned_name, write_experiment
from ctrkit.commands.workspace import hint, save_figure
from ctrkit.errors import TrainingError
from ctrkit.tuning.options import TuningOptions

if TYPE_CHECKING:
    from ctrkit.tracking import Run
    from ctrkit.tuning import Space, Trial

SHOWN = 15  # Trials of the table on the screen; the file has all.
WINNER_FILE = "winner.yaml"


def train_finalists(
    config: DictConfig, options: TuningOptions, training: TrialTraining, folder: Path, tracker: Run
) -> None:
    """Train the best trials with further seeds, so that the winner is not just the luckiest."""
    from ctrkit.tuning import Objective, TrialFiles, ranked
    from ctrkit.tuning.nested_runs import PARENT_TAG

    if not options.finalists:
        return
    files, objective = TrialFiles(folder), Objective(options.objective)
    whole = [trial for trial in files.all() if trial.status == "completed" and trial.share >= 1]
    singles = [_single(trial) for trial in whole]
    best = [trial.id for trial in ranked(singles, objective)[: options.finalists]]
    first = [trial.id for trial in whole if trial.id == "0000"] if options.default_first else []
    for trial_id in dict.fromkeys([*first, *best]):  # Those of the experiment itself, to compare with.
        for seed in range(int(config.seed) + 1, int(config.seed) + options.finalist_seeds):
            trial = files.read(trial_id)
            if trial is None or str(seed) in trial.seeds:
                continue
            run_dir = files.run_dir(trial_id) / "seeds" / str(seed)
            tags = {PARENT_TAG: tracker.run_id, "ctrkit.trial": trial_id, "ctrkit.trial_seed": seed}
            with tracked_run(config, run_dir, attach=False, tags=tags) as nested:
                result = training.train_again(trial.values, trial.hp, seed, run_dir, nested)
            files.update(trial_id, seeds={**trial.seeds, str(seed): result.metrics})
            say(f"finalist {trial_id}, seed {seed}: {objective.name} {objective.of(result.metrics):.5f}")


def conclude(config: DictConfig, options: TuningOptions, space: Space, folder: Path, tracker: Run) -> None:
    """Show all trials, draw them, write the winner and log all of it to the search's own tracked run.

    Raises `TrainingError` when no trial has a score.
    """
    from ctrkit.tuning import (
        Objective,
        TrialFiles,
        importance,
        importance_figure,
        parallel_figure,
        ranked,
        trial_table,
    )
    from ctrkit.tuning.ranking import drop_weights, mean_score

    files, objective = TrialFiles(folder), Objective(options.objective)
    trials = ranked(files.all(), objective)
    scored = [trial for trial in trials if trial.objective is not None]
    if not scored:
        reasons = "; ".join(f"{trial.id}: {(trial.reason or '')[:200]}" for trial in trials[:3])
        raise TrainingError(f"None of {len(trials)} trials has a score. {reasons}")
    if options.keep == "best":
        drop_weights(files, objective)
    compared = alike(scored)
    found = importance([{**trial.values, **trial.hp} for trial in compared], [trial.score for trial in compared], space)
    figures = {
        "parallel_coordinates": parallel_figure(scored, space, objective),
        "importance": importance_figure(found, objective=objective.name),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")
        tracker.log_figure(name, figure)
    text = trial_table(trials, objective)
    with atomic_file(folder / "trials.txt") as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    tracker.log_text(text + "\n", "trials.txt")
    winner = scored[0]
    summary = _summary(trials, winner, objective, found)
    write_json(folder / "result.json", summary)
    tracker.log_dict(summary, "result.json")
    tracker.log_metrics({f"best_{objective.name}": mean_score(winner, objective), "trials": len(trials)})
    for trial in sorted(scored, key=lambda one: one.id):
        tracker.log_metrics({"trial_objective": trial.score}, step=int(trial.id))
    say(trial_table(trials, objective, most=SHOWN))
    say(f"  {_verdict(winner, trials, objective)}")
    say(f"  table and figures in {folder}")
    _write_winner(config, winner, folder, tracker, _verdict(winner, trials, objective))


def alike(trials: list[Trial]) -> list[Trial]:
    """Those that were trained on the same share of the rows: the most of them, and of as many the longer ones."""
    counts = Counter(trial.share for trial in trials)
    share = max(counts, key=lambda one: (counts[one], one))
    return [trial for trial in trials if trial.share == share]


def _write_winner(config: DictConfig, winner: Trial, folder: Path, tracker: Run, verdict: str) -> None:
    name = tuned_name(str(config.name))
    comment = f"Winner of `ctrkit tune {hint(config)}`, search {folder.name}:\n{verdict}"
    config_of_winner = with_values(_as_typed(config), winner.values, winner.hp)
    text = experiment_text(config_of_winner, name=name, comment=comment, always=winner.values)
    with atomic_file(folder / WINNER_FILE) as temporary:
        temporary.write_text(signed(text), encoding="utf-8")
    tracker.log_text(signed(text), WINNER_FILE)
    written = write_experiment(Path.cwd() / "conf" / "experiment", name, text, force=bool(config.force))
    if written is None:
        say(
            f"  conf/experiment/{name}.yaml was changed by hand and stays as it is; the winner is in "
            f"{folder / WINNER_FILE}. Type force=true to replace the file."
        )
        return
    say(f"  wrote {written.relative_to(Path.cwd())}")
    say(f"next: ctrkit train experiment={name}")


def _as_typed(config: DictConfig) -> DictConfig:
    """The configuration as the command line has it: a search may have held out rows that the experiment trains on."""
    from ctrkit.commands.configuration import load_config, typed_overrides

    return load_config(typed_overrides())


def _verdict(winner: Trial, trials: list[Trial], objective: Any) -> str:
    from ctrkit.tuning.table import score_text

    text = f"best of {len(trials)} trials: {winner.id}, validation {objective.name} {score_text(winner, objective)}"
    first = next((trial for trial in trials if trial.id == "0000" and trial.objective is not None), None)
    if first is None or first is winner:
        return text
    return f"{text}; the first one had {score_text(first, objective)}"


def _summary(trials: list[Trial], winner: Trial, objective: Any, found: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from ctrkit.tuning.ranking import deviation, mean_score

    return {
        "objective": objective.name,
        "direction": objective.direction,
        "winner": winner.id,
        "values": {**winner.values, **({"model.hp": winner.hp} if winner.hp else {})},
        "score": mean_score(winner, objective),
        "deviation": deviation(winner, objective),
        "importance": None if found is None else asdict(found),
        "trials": [asdict(trial) for trial in trials],
    }


def _single(trial: Trial) -> Trial:
    from dataclasses import replace

    return replace(trial, seeds={})
