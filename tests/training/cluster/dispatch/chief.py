"""A chief's process without TensorFlow: serves a ledger, saves it in the pauses, ends when it is complete.

`python chief.py RUN_DIR TICKETS SECONDS_BETWEEN_SAVES`; the state is in `RUN_DIR/ledger.json`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ctrkit.atomic import write_json
from ctrkit.training.cluster.dispatch.ledger import Ledger
from ctrkit.training.cluster.dispatch.service import serve_dispatch


def main(run_dir: str, tickets: str, seconds: str) -> None:
    state = Path(run_dir) / "ledger.json"
    saved = json.loads(state.read_text()) if state.exists() else {"tickets": int(tickets), "done": []}
    ledger = Ledger.from_dict(saved, lease=4)
    with serve_dispatch(run_dir, ledger, fingerprint="f") as dispatch:
        dispatch.set_ready(ledger.done)
        while not ledger.complete:
            time.sleep(float(seconds))
            with dispatch.held(10) as quiet:
                if quiet:
                    write_json(state, dispatch.ledger_state())
        dispatch.finish("finished", "epochs")
        dispatch.wait_until_left(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
