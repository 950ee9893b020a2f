"""A small log, a small model and a run of 38 steps that the tests of training compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LOG_ROWS = 6_000
SCHEMA = {
    "format": "csv",
    "label": "click",
    "weight": "importance",
    "group": "user",
    "features": {
        "user": {"kind": "categorical", "side": "user"},
        "hour": {"kind": "numeric", "side": "context", "boundaries": [6, 12, 18]},
        "ad": {"kind": "categorical", "side": "item"},
        "site": {"kind": "hashed", "buckets": 20, "side": "item"},
    },
}


def write_log(path: Path, *, rows: int = LOG_ROWS, seed: int = 0) -> None:
    """Clicks that depend on the ad, the user and the pair's parity, so that there is something to learn."""
    random = np.random.default_rng(seed)
    users, ads = random.zipf(1.5, rows) % 60, random.zipf(1.4, rows) % 40
    hours, sites = random.integers(0, 24, rows), random.integers(0, 15, rows)
    logit = -1.2 + 0.9 * (ads % 3 == 0) + 0.7 * (users % 4 == 1) + 0.8 * ((users + ads) % 2)
    clicks = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
    weights = random.choice([0.5, 1.0, 2.0], rows)
    columns = zip(clicks, weights, users, hours, ads, sites, strict=True)
    lines = [f"{c},{w},u{u},{h},ad{a},s{s}" for c, w, u, h, a, s in columns]
    path.write_text("click,importance,user,hour,ad,site\n" + "\n".join(lines) + "\n", encoding="utf-8")


def prepared_days(folder: Path, schema: dict[str, Any], write_day: Callable[[Path, int], Path], days: int) -> list[Any]:
    """Days of a log, the index of each an extension of the one before."""
    from ctrkit.records import prepare
    from ctrkit.schema import Schema

    made: list[Any] = []
    for day in range(days):
        extended = made[-1].index if made else None
        log = write_day(folder / f"{day}.csv", day)
        made.append(prepare(Schema.from_dict(schema), log, folder / str(day), extend=extended))
    return made


def small_model(index, **options):
    """A wide & deep model with dropout and batch normalization, both of which carry state of their own."""
    from ctrkit.models import wide_deep

    return wide_deep(index, **{"dim": 4, "hidden": (16, 8), "dropout": 0.2, "batch_norm": True, "l2": 1e-5, **options})


def options(**changes):
    """Options under which a run of 38 steps evaluates every 6 and saves every 5."""
    from ctrkit.training import TrainingOptions

    chosen = {
        "batch_size": 256,
        "epochs": 2,
        "evaluate_every": 6,
        "checkpoint_every": 5,
        "patience": None,
        "log_every": 4,
    }
    return TrainingOptions(**{**chosen, **changes})


@dataclass
class Undisturbed:
    """A run that nothing happened to."""

    run_dir: Path
    model: Any
    result: Any
    weights: list[np.ndarray]  # The best ones.
    last: list[np.ndarray]


def last_weights(prepared, run_dir: Path) -> list[np.ndarray]:
    """Weights of a run's last checkpoint."""
    from ctrkit.training import load_weights

    model = small_model(prepared.index)
    load_weights(model, run_dir, "last")
    return weights_of(model)


def expect_same_run(undisturbed: Undisturbed, prepared, model, result, run_dir: Path) -> None:
    """All numbers are the undisturbed run's, to the last bit."""
    assert result.history == undisturbed.result.history
    assert result.metrics == undisturbed.result.metrics
    assert (result.steps, result.rows, result.best_step) == (38, 9644, undisturbed.result.best_step)
    for got, expected in zip(weights_of(model), undisturbed.weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(last_weights(prepared, run_dir), undisturbed.last, strict=True):
        np.testing.assert_array_equal(got, expected)


def weights_of(model) -> list[np.ndarray]:
    """Copies of all weights."""
    return [np.array(weight) for weight in model.get_weights()]
