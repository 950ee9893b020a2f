"""`ctrkit verify`: the same rows through Keras, the SavedModel and a live server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from ctrkit.atomic import write_json
from ctrkit.checksum import directory_checksum
from ctrkit.commands.card import update_card
from ctrkit.commands.console import say
from ctrkit.commands.evaluate import load_run, part_of
from ctrkit.commands.tracked import tracked_run
from ctrkit.commands.workspace import check_part, find_run, hint, latest_export
from ctrkit.errors import ParityError

if TYPE_CHECKING:
    import numpy as np

    from ctrkit.export import ParityReport
    from ctrkit.serving import Client

VERIFICATION_FILE = "verification.json"  # In a run's folder: what was compared last, and of which export.


def run(config: DictConfig) -> None:
    """Verify and say what to do next."""
    run_dir = find_run(config)
    exported = latest_export(run_dir)
    with tracked_run(config, run_dir) as tracker:
        try:
            report = verify_run(config, run_dir, exported)
        finally:
            update_card(config, run_dir, tracker)
    say(str(report))
    say(f"next: ctrkit serve {hint(config)}")


def verify_run(config: DictConfig, run_dir: Path, exported: Path) -> ParityReport:
    """Replay rows on every path and write down what came of it.

    Raises `ParityError` when two scores of one row differ by more than `verify.bound`.
    """
    from ctrkit.export import verify
    from ctrkit.serving import Client, serve_in_process

    prepared, model = load_run(config, run_dir)
    records = part_of(prepared, check_part(config.part))
    facts = {
        "export": exported.name,
        "digest": directory_checksum(exported),
        "fingerprint": prepared.fingerprint,
        "part": str(config.part),
        "bound": float(config.verify.bound),
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    say(f"run {run_dir.name}, version {exported.name}: replaying {config.part} rows on every path")
    name = str(config.name)
    try:
        with (
            serve_in_process(exported, name=name) as server,
            Client(server.target, index=prepared.index, model=name) as client,
        ):
            report = verify(
                exported,
                records,
                model=model,
                scorers={"server": client.predict, "server, rank": _ranker(client)},
                rows=int(config.verify.rows) or records.rows,
                bound=float(config.verify.bound),
            )
    except ParityError as error:
        write_json(run_dir / VERIFICATION_FILE, {**facts, "passed": False, "error": str(error)})
        raise
    compared = {
        "passed": True,
        "error": None,
        "reference": report.reference,
        "rows": max(path.rows for path in report.paths),
        "largest_difference": report.largest,
        "paths": {path.name: dataclasses.asdict(path) for path in report.paths},
    }
    write_json(run_dir / VERIFICATION_FILE, {**facts, **compared})
    return report


def verified(config: DictConfig, run_dir: Path, exported: Path, *, digest: str) -> dict[str, Any]:
    """What `verification.json` says of this export; verified now where it says nothing, or says that it failed."""
    known = _known(run_dir)
    is_of_this = known.get("digest") == digest and known.get("passed") is True
    if not is_of_this or known["bound"] > float(config.verify.bound):
        with contextlib.suppress(ParityError):  # It is written down as such.
            verify_run(config, run_dir, exported)
        known = _known(run_dir)
    return known


def _known(run_dir: Path) -> dict[str, Any]:
    try:
        found = json.loads((run_dir / VERIFICATION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _ranker(client: Client) -> Callable[[np.ndarray], np.ndarray]:
    """Score each row as a ranking request of its own: its user's half and one candidate."""
    import numpy as np

    user_width = client.index.user_width

    def score(ids: np.ndarray) -> np.ndarray:
        rows = [client.rank_ids(row[None, :user_width], row[None, user_width:]) for row in ids]
        return np.concatenate(rows) if rows else np.empty(0, dtype=np.float32)

    return score
