"""For which models, and how many candidates, XLA makes a request cheaper on this machine.

    python experiments/benchmarks/serving_xla.py [--rows 1 10 100 1000] [--repeats 3]

Every model is exported with `xla=auto`, which measures each signature plain and compiled: in a process of its own, over
the C API as the embedded server runs them, taking turns, CPU time, median of up to 200 rounds. The features are those
of serving.py: 80 fields in the wide part, 60 with embeddings of dim 10. About a minute a model and repeat.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf
from bars import draw_bars
from serving_models import DIM, HIDDEN, NAMES, WIDE, index_of

from ctrkit.export import ExportOptions, export_model, open_exported
from ctrkit.export.compilation import WORTH
from ctrkit.indexing import FeatureIndex
from ctrkit.layers import FieldEmbeddings, Inputs, SidedSum
from ctrkit.models import dcn_v2, deepfm, logistic_regression
from ctrkit.models.parts import click_model, logit
from ctrkit.models.tower import Tower

Milliseconds = dict[str, dict[str, dict[str, float]]]  # Signature -> rows -> "plain" and "compiled".
SIGNATURES = ("rank", "serving_default")


def wide_and_deep(index: FeatureIndex) -> tf.keras.Model:
    """The model of serving.py: its wide and deep fields are not the same ones."""
    inputs = Inputs(index)
    wide = FieldEmbeddings(index, dim=1, fields=NAMES[:WIDE], name="linear")(inputs)
    deep = FieldEmbeddings(index, dim=DIM, fields=NAMES[WIDE:], name="embeddings")(inputs)
    tower = Tower(hidden=HIDDEN, activation="relu", dropout=0.0, batch_norm=False, seed=1)
    logits = [SidedSum(name="linear_logit")(wide), logit(tower.over(deep), seed=0)]
    return click_model(inputs, logits, label_rate=None, name="wide_deep")


MODELS: dict[str, Callable[[FeatureIndex], tf.keras.Model]] = {
    "logistic regression": logistic_regression,
    "Wide & Deep": wide_and_deep,
    "DCN-V2": lambda index: dcn_v2(index, dim=DIM, hidden=HIDDEN),
    "DeepFM": lambda index: deepfm(index, dim=DIM, hidden=HIDDEN),
}


def measure(name: str, index: FeatureIndex, rows: tuple[int, ...], repeats: int) -> Milliseconds:
    """Median over repeats, each an export of its own."""
    model = MODELS[name](index)
    options = ExportOptions(buckets=rows, golden_rows=1, xla="auto")
    runs: list[Milliseconds] = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as directory:
            runs.append(open_exported(export_model(model, index, directory, options=options)).manifest.xla.milliseconds)
    return {
        signature: {
            str(size): {way: statistics.median(run[signature][str(size)][way] for run in runs) for way in both}
            for size in rows
            for both in [runs[0][signature][str(size)]]
        }
        for signature in SIGNATURES
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--plot", type=Path, default=Path("experiments/0003-serving/xla.png"))
    parser.add_argument("--json", type=Path, help="every figure, for later")
    options = parser.parse_args()
    index, rows = index_of(), tuple(sorted(set(options.rows)))
    found = {name: measure(name, index, rows, options.repeats) for name in options.models}
    report(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    panels = {
        f"{size:,} candidate{'s' if size > 1 else ''}": {
            name: _gain(by["rank"][str(size)]) for name, by in found.items()
        }
        for size in rows
    }
    draw_bars(
        options.plot,
        panels,
        headline=f"Does XLA pay? Signature rank; blue: yes, from {WORTH:g} times",
        unit="times as fast (CPU time)",
        digits=2,
        stands_out=lambda gain: gain >= WORTH,
    )


def report(found: dict[str, Milliseconds]) -> None:
    """Print what was measured, and where XLA pays."""
    for signature in SIGNATURES:
        print(f"\nSignature `{signature}`: CPU milliseconds of one request, plain and compiled by XLA\n")
        print("| model | rows | plain | XLA | times as fast |\n|---|---|---|---|---|")
        for name, by in found.items():
            for size, both in by[signature].items():
                print(f"| {name} | {size} | {both['plain']:.3f} | {both['compiled']:.3f} | {_gain(both):.2f} |")
    print()
    for name, by in found.items():
        gains = {s: [_gain(both) for both in by[s].values()] for s in SIGNATURES}
        overall = {s: math.exp(sum(map(math.log, values)) / len(values)) for s, values in gains.items()}
        kept = [signature for signature, gain in overall.items() if gain >= WORTH]
        print(f"{name}: xla=auto would compile {', '.join(kept) or 'nothing'}")


def _gain(both: dict[str, float]) -> float:
    return both["plain"] / both["compiled"]


if __name__ == "__main__":
    main()
