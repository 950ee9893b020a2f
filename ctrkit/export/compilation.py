"""Decide which signatures XLA compiles: those that were asked for, or those that a measurement shows to be faster."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ctrkit.errors import ExportError
from ctrkit.export.manifest import XlaChoice
from ctrkit.export.options import ExportOptions
from ctrkit.export.prune import PrunedFunction
from ctrkit.export.signatures import SCORING, Servable
from ctrkit.export.warmup import Request
from ctrkit.progress import progress

WORTH = (
    1.05  # How many times as fast: a compiled signature costs time to load, and scores rows that only fill a bucket.
)
SUFFIX = "_compiled"  # Of a signature's compiled twin while both are measured.
MEASURING = "ctrkit.serving.deployment.turns"  # By name, in a process of its own: an export does not import a server.

Milliseconds = dict[str, dict[str, dict[str, float]]]  # Signature -> bucket -> "plain" and "compiled" -> CPU time.


@dataclass(frozen=True)
class Compilation:
    """The signatures that XLA compiles, and what the manifest says about it."""

    signatures: tuple[str, ...]
    choice: XlaChoice


def decide(servable: Servable, requests: Sequence[Request], options: ExportOptions, scratch: Path) -> Compilation:
    """Choose by `options.xla`; `requests` are the warmup requests, `scratch` a directory that does not exist yet.

    Raises `ExportError` when XLA is insisted on and cannot compile a signature, or when nothing could be measured.
    """
    if options.xla is False:
        return Compilation((), XlaChoice(asked=False))
    scoring = [(signature, inputs) for signature, inputs in requests if signature in SCORING]
    smallest = dict(reversed(scoring))
    refused = {name: reason for name in SCORING if (reason := _refusal(servable.functions[name], smallest[name]))}
    if options.xla is True:
        if refused:
            name, reason = next(iter(refused.items()))
            raise ExportError(
                f"XLA cannot compile signature {name!r}: {reason}. Export with xla=false (`export.xla=false`), or with "
                "xla=auto, which leaves such a signature as it is."
            )
        return Compilation(SCORING, XlaChoice(asked=True, reason="asked for by xla=true"))
    names = [name for name in SCORING if name not in refused]
    pairs = [(name, inputs) for name, inputs in scoring if name in names]
    milliseconds = measure(servable, pairs, scratch) if pairs else {}
    gains = judge(milliseconds)
    parts = [f"{name} {gain:.2f} times as fast" for name, gain in gains.items()]
    parts += [f"{name} cannot be compiled ({reason})" for name, reason in refused.items()]
    chosen = tuple(name for name, gain in gains.items() if gain >= WORTH)
    reason = f"compiled: {'; '.join(parts)}; worth it from {WORTH}"
    return Compilation(chosen, XlaChoice(asked="auto", reason=reason, milliseconds=milliseconds))


def measure(servable: Servable, requests: Sequence[Request], scratch: Path) -> Milliseconds:
    """Time each request by the plain and by the compiled signature on this machine, over the C API as a server runs it.

    Raises `ExportError` when the measuring process fails.
    """
    signatures = {name for name, _ in requests}
    twins = {f"{name}{SUFFIX}": servable.functions[name].compiled().concrete for name in signatures}
    plain = {name: servable.functions[name].concrete for name in signatures}
    tf.saved_model.save(servable.module, str(scratch), signatures={**plain, **twins})
    arrays = {
        f"{signature}|{signature}{SUFFIX}/{_rows(signature, inputs)}/{name}": np.ascontiguousarray(array)
        for signature, inputs in requests
        for name, array in inputs.items()
    }
    listed = scratch / "requests.npz"
    np.savez(listed, **arrays)  # type: ignore[arg-type]
    found: Milliseconds = {}
    command = [sys.executable, "-m", MEASURING, str(scratch), str(listed)]
    with (
        progress("measuring XLA", total=len(requests), unit="requests") as shown,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            for line in process.stdout:
                one = json.loads(line)
                plain_ms, compiled_ms = (round(value, 5) for value in one["milliseconds"])
                found.setdefault(one["left"], {})[str(one["bucket"])] = {"plain": plain_ms, "compiled": compiled_ms}
                shown.advance(1, f"{one['left']}, {one['bucket']} rows")
            said = process.stderr.read()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0 or sum(map(len, found.values())) != len(requests):
        last = said.strip().splitlines()[-1] if said.strip() else "no message"
        raise ExportError(
            f"Measuring XLA ended with status {process.returncode} ({last}), so nothing was published. Export with "
            "xla=false or xla=true (`export.xla=false`)."
        )
    return found


def judge(milliseconds: Milliseconds) -> dict[str, float]:
    """How many times as fast each signature is when compiled: the geometric mean over the sizes of a batch."""
    logs = {
        name: [math.log(both["plain"] / both["compiled"]) for both in sizes.values()]
        for name, sizes in milliseconds.items()
    }
    return {name: math.exp(sum(values) / len(values)) for name, values in logs.items()}


def _refusal(function: PrunedFunction, inputs: Mapping[str, np.ndarray]) -> str:
    """Why XLA cannot compile it; empty when it can."""
    try:
        with tf.device("/CPU:0"):
            function.compiled().concrete(**{name: tf.constant(array, tf.int32) for name, array in inputs.items()})
    except (tf.errors.OpError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return " ".join(lines[:2])[:300].rstrip(".")
    return ""


def _rows(signature: str, inputs: Mapping[str, np.ndarray]) -> int:
    return len(inputs["item_ids"] if signature == "rank" else next(iter(inputs.values())))
