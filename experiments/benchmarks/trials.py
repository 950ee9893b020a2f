"""Train many settings of the experiments in one process, remember each result, and judge them on the same test rows."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # One core: CPU times of several trials can be compared.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import tensorflow as tf
from omegaconf import DictConfig

import ctrkit
from ctrkit.analysis import Difference, metric_differences
from ctrkit.analysis.paired import normal_difference
from ctrkit.atomic import write_json
from ctrkit.commands.configuration import load_config
from ctrkit.commands.instantiating import make
from ctrkit.commands.prepare import log_files, prepare_log
from ctrkit.commands.train import build
from ctrkit.commands.workspace import plain
from ctrkit.errors import NanLossError
from ctrkit.records import Prepared
from ctrkit.training import TrainingOptions

# As typed after `ctrkit train experiment=…`; and `C{1..26}.min_count=2`, whose key the command line cannot take.
Words = tuple[str, ...]
Result = dict[str, Any]
CHOICE = "log_loss"  # Of the validation part: what picks the best step of a trial, and the best of the settings.
DIVERGED: Result = {"validation": {CHOICE: 1e9}}  # What a setting gets whose loss is no number any more.
SEARCH_SEED = 0  # Settings are chosen with it; figures are of others.

# Beside each experiment's own settings. Evaluations are few, as each costs as much as a tenth of an epoch.
PROTOCOL: dict[str, Words] = {
    "criteo": ("data.split.validation=0.1", "training.epochs=4", "training.evaluate_every=55"),
    "frappe": ("training.epochs=3", "training.evaluate_every=225"),
    # One pass, with rates that fall, in the place of four: MovieLens' rows are ten times as many.
    "movielens": ("training.epochs=1", "training.learning_rate_decay=linear", "training.evaluate_every=342"),
}
COMMON: Words = ("tracking=none", f"training.early_stopping={CHOICE}", "training.patience=3", "training.log_every=10")


class Clock:
    """Follows a run, and knows the CPU time of its steps without evaluations and checkpoints."""

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self.seconds: list[float] = []  # A step.

    def on_metrics(self, step: int, metrics: dict[str, float]) -> None:
        now = time.process_time()
        if "loss" not in metrics:  # An evaluation: its time is no step's.
            self._last = None
            return
        if self._last is not None and step > self._last[0]:
            self.seconds.append((now - self._last[1]) / (step - self._last[0]))
        self._last = (step, now)


class Trials:
    """Results by setting and seed, kept in `WORK/trials.json`: what is there is not trained again."""

    def __init__(self, work: Path) -> None:
        self._work, self._file = work, work / "trials.json"
        self._known: dict[str, Result] = {}
        if self._file.exists():
            self._known = json.loads(self._file.read_text(encoding="utf-8"))
        self._asked: dict[str, str] = {}  # Key of what is known.
        self._prepared: dict[str, Prepared] = {}

    def result(self, experiment: str, words: Words, seed: int) -> Result:
        """Validation and test metrics, and what it cost, of one run."""
        asked = " ".join([experiment, f"seed={seed}", *words])
        if asked not in self._asked:
            config = self._config(experiment, [f"seed={seed}", *words])
            # Settings that are the same in other words are trained once.
            self._asked[asked] = _meaning(config)
        key = self._asked[asked]
        if key not in self._known:
            self._known[key] = {"asked": asked, **self._train(config, key)}
            write_json(self._file, self._known)
            found = self._known[key]
            told = "diverged"
            if "test" in found:
                told = f"validation log loss {found['validation']['log_loss']:.4f}, test AUC {found['test']['auc']:.4f}"
                told += f", {found['cpu_seconds']:.0f} s"
            print(f"{asked}: {told}", file=sys.stderr, flush=True)
        return self._known[key]

    def best(self, experiment: str, settings: Sequence[Words]) -> Words:
        """The setting with the least validation log loss."""
        found = [self.result(experiment, words, SEARCH_SEED)["validation"][CHOICE] for words in settings]
        return settings[int(np.argmin(found))]

    def best_rate(self, experiment: str, words: Words, key: str, start: float, *, reach: int = 2) -> Words:
        """`words` with the best value of `key` among `start`, half and twice of it; beyond, while the best is the last.

        Goes at most `reach` doublings away from the start.
        """
        values, low, high = {}, -1, 1
        while True:
            for power in range(low, high + 1):
                values[power] = (*words, f"{key}={start * 2.0**power:g}")
            best = self.best(experiment, [values[power] for power in sorted(values)])
            if best == values[low] and low > -reach:
                low -= 1
            elif best == values[high] and high < reach:
                high += 1
            else:
                return best

    def differences(self, experiment: str, words: Words, other: Words, seeds: Sequence[int]) -> dict[str, Difference]:
        """Mean metrics of `words` minus those of `other`; the interval knows the luck of the rows and of the seeds.

        The rows are the same for all seeds, so that further seeds make only their own part of the variance smaller.
        """
        each = []
        for seed in seeds:
            one, two = self._scores(experiment, other, seed), self._scores(experiment, words, seed)
            each.append(metric_differences(one["labels"], one["scores"], two["scores"], groups=one.get("groups")))
        found = {}
        for name in each[0]:
            values = [difference[name].value for difference in each]
            of_rows = statistics.mean(_variance(difference[name]) for difference in each)
            of_seeds = statistics.variance(values) / len(values) if len(values) > 1 else 0.0
            found[name] = normal_difference(statistics.mean(values), of_rows + of_seeds)
        return found

    def _scores(self, experiment: str, words: Words, seed: int) -> Mapping[str, np.ndarray]:
        return dict(np.load(self._work / self.result(experiment, words, seed)["scores"]))

    def _train(self, config: DictConfig, key: str) -> Result:
        name = str(config.work_dir)
        if name not in self._prepared:
            self._prepared[name] = prepare_log(config)
        prepared = self._prepared[name]
        assert prepared.test is not None
        tf.keras.backend.clear_session()
        clock, begun = Clock(), time.process_time()
        run_dir = self._work / "run"
        shutil.rmtree(run_dir, ignore_errors=True)  # Of a trial that was killed.
        model = build(config, prepared)
        try:
            result = ctrkit.train(model, prepared, run_dir, options=make(config.training), observer=clock)
        except NanLossError:
            return DIVERGED
        judged = ctrkit.evaluate(model, prepared.test)
        shutil.rmtree(run_dir)
        scores = f"scores/{key}.npz"
        (self._work / "scores").mkdir(exist_ok=True)
        columns = {"labels": judged.labels, "scores": judged.scores}
        if judged.groups is not None:
            columns["groups"] = judged.groups
        np.savez_compressed(self._work / scores, **columns)
        return {
            "validation": result.metrics,
            "test": judged.metrics,
            "epochs": result.best_step * config.training.batch_size / prepared.train.rows if prepared.train else 0.0,
            "microseconds_a_row": 1e6 * statistics.median(clock.seconds) / config.training.batch_size,
            "cpu_seconds": time.process_time() - begun,
            "weights": int(model.count_params()),
            "scores": scores,
        }

    def _config(self, experiment: str, words: Sequence[str]) -> DictConfig:
        """The composed configuration; a log that is indexed in another way has a folder of its own."""
        of_columns = [word for word in words if "{" in word]
        others = [word for word in words if word not in of_columns]
        config = load_config(
            [f"experiment={experiment}", f"root={self._work}", *COMMON, *PROTOCOL[experiment], *others]
        )
        for word in of_columns:
            place, value = word.split("=")
            columns, option = place.rsplit(".", 1)
            config.schema.features[columns][option] = int(value)
        changed = "-".join(word.rpartition(".")[2] for word in words if word in of_columns or "schema." in word)
        if changed:
            config.data.path = [str(file) for file in log_files(config)]  # A log that is built is built once.
            config.work_dir = f"{config.work_dir}-{changed}"
        return config


def _meaning(config: DictConfig) -> str:
    """A hash of what decides a result; an option that a later version brings, at its default, does not."""
    default = vars(TrainingOptions())
    training = {key: value for key, value in plain(config.training).items() if default.get(key, ...) != value}
    meaning = json.dumps([training, *(plain(config[part]) for part in ("schema", "data", "model"))])
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def _variance(difference: Difference) -> float:
    return ((difference.high - difference.low) / (2 * 1.959964)) ** 2


def arguments(about: str | None, datasets: Sequence[str], *, models: Sequence[str] = ()) -> argparse.Namespace:
    """The command line that the programs share."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", choices=datasets, default=list(datasets))
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting that the table is about")
    if models:
        parser.add_argument("--models", nargs="+", choices=models, default=list(models))
    parser.add_argument("--work", type=Path, default=Path("artifacts/trials"), help="folder of what is done already")
    parser.add_argument("--plot", type=Path, help="PNG of the AUCs by seed")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.seeds = range(1, options.seeds + 1)
    return options


def report(
    trials: Trials, experiment: str, arms: Mapping[str, Words], seeds: Sequence[int], *, beside: str
) -> dict[str, list[float]]:
    """Print a table of the arms over the seeds, each compared with the arm `beside` on the same test rows.

    Returns the test AUCs of each arm.
    """
    for seed in seeds:  # Arms take turns, so that a slow minute of the machine is nobody's alone.
        for words in arms.values():
            trials.result(experiment, words, seed)
    found = {arm: [trials.result(experiment, words, seed) for seed in seeds] for arm, words in arms.items()}
    costs = {arm: statistics.median(one["microseconds_a_row"] for one in runs) for arm, runs in found.items()}
    grouped = "grouped_auc" in found[beside][0]["test"]
    print(
        f"\n{experiment}, seeds {min(seeds)} to {max(seeds)}; test part: {found[beside][0]['test']['rows']:,.0f} rows\n"
    )
    print(f"| | AUC | less {beside} | log loss | PCOC |{' grouped AUC |' if grouped else ''} best epoch | samples/s |")
    print(f"|---|---|---|---|---|{'---|' if grouped else ''}---|---|")
    for arm, runs in found.items():
        test = [one["test"] for one in runs]
        less = trials.differences(experiment, arms[arm], arms[beside], seeds)["auc"] if arm != beside else None
        cells = [
            arm,
            _spread([one["auc"] for one in test], 4),
            "" if less is None else f"{less.value:+.4f} [{less.low:+.4f}, {less.high:+.4f}]",
            _spread([one["log_loss"] for one in test], 4),
            _spread([one["pcoc"] for one in test], 3),
            *([_spread([one["grouped_auc"] for one in test], 4)] if grouped else []),
            f"{statistics.mean(one['epochs'] for one in runs):.1f}",
            f"{costs[beside] / costs[arm]:.2f}",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return {arm: [one["test"]["auc"] for one in runs] for arm, runs in found.items()}


def _spread(values: Sequence[float], digits: int) -> str:
    text = f"{statistics.mean(values):.{digits}f}"
    return text if len(values) < 2 else f"{text} ± {statistics.stdev(values):.{digits}f}"
