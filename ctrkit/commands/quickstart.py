"""`ctrkit quickstart`: the whole way once, from an ad log made on the spot to ranked ads."""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from pathlib import Path

from omegaconf import DictConfig

from ctrkit.commands.console import say, table
from ctrkit.commands.evaluate import evaluate_run
from ctrkit.commands.export import export_run
from ctrkit.commands.prepare import describe, log_files, prepare_log
from ctrkit.commands.rank import request_from_log, show
from ctrkit.commands.train import train_run
from ctrkit.commands.verify import verify_run
from ctrkit.commands.workspace import work_dir

WARM_REQUESTS = 200


def run(config: DictConfig) -> None:
    """Run every step and summarise."""
    from ctrkit.tracking import locate, ui_command

    start = time.perf_counter()
    say(f"1/7 an ad log in {work_dir(config) / 'log'}")
    (log,) = log_files(config)
    best = best_auc(log, float(config.data.split.test))
    say("2/7 feature index and records")
    prepared = prepare_log(config)
    describe(prepared, work_dir(config))
    say(
        "3/7 training Wide & Deep through model_to_estimator"
        if "wide_deep" in config.model._target_
        else "3/7 training"
    )
    run_dir, result = train_run(config)
    say("4/7 held-out rows")
    metrics = evaluate_run(config, run_dir)
    say("5/7 a warmed-up SavedModel")
    exported = export_run(config, run_dir)
    say(f"  {exported}")
    say("6/7 the same rows through Keras, the SavedModel and a live server")
    say(str(verify_run(config, run_dir, exported)))
    say("7/7 ranking 100 ads for a user over gRPC")
    first, warm = rank_once(config, exported)
    say()
    say(f"done in {time.perf_counter() - start:.0f} s")
    rows = [
        ("log", f"{sum(r.rows for r in (prepared.train, prepared.validation, prepared.test) if r):,} rows, {log}"),
        ("training", f"{result.rows:,} rows, {result.samples_per_second:,.0f} samples/s"),
        ("AUC on test rows", f"{metrics['auc']:.4f}; the best that this log allows: {best:.4f}"),
        ("calibration", f"{metrics['pcoc']:.3f} predicted over observed clicks"),
        (
            "rank 100 ads",
            f"cold {first * 1e3:.1f} ms (first request), warm {warm * 1e3:.1f} ms (median of {WARM_REQUESTS})",
        ),
        ("run", str(run_dir)),
        ("SavedModel", str(exported)),
        ("plots", f"{run_dir}/*.png"),
    ]
    say(table(rows))
    say()
    activate = Path(sys.prefix) / "bin" / "activate"
    if shutil.which("ctrkit") is None and activate.exists():
        say(f"put the commands below on your path: source {activate}")
    say("see the run in MLflow:")
    say(f"  {ui_command(locate(config.tracking.uri, work_root=str(config.root)).uri)}")
    say("a project of your own, from your own log:")
    say("  ctrkit new shop log=YOUR_LOG.csv && cd shop && ctrkit train")


def best_auc(log: Path, share: float) -> float:
    """The AUC of the true click probabilities on the last `share` of the log: no model can beat it, but by luck."""
    truth = json.loads((log.parent / "truth.json").read_text(encoding="utf-8"))
    return float(truth["best_auc_of_last"].get(f"{share:g}", truth["best_auc"]))


def rank_once(config: DictConfig, exported: Path) -> tuple[float, float]:
    """Serve, rank and print the best ads; returns seconds of the first request and of a warm one."""
    from ctrkit.indexing import FeatureIndex
    from ctrkit.serving import Client, serve_in_process

    index = FeatureIndex.load(exported / "assets" / "feature_index")
    request = request_from_log(config, index.schema, ads=int(config.serving.ads))
    seconds = []
    name = str(config.serving.model)
    with (
        serve_in_process(exported.parent, name=name) as server,
        Client(server.target, index=index, model=name) as client,
    ):
        client.check_fingerprint()  # Connects, so that the first request below is about the server.
        for _ in range(WARM_REQUESTS + 1):
            start = time.perf_counter()
            scores = client.rank(request.user, request.context, request.ads)
            seconds.append(time.perf_counter() - start)
    show(request, scores)
    return seconds[0], statistics.median(seconds[1:])
