"""A server told by a batching parameters file: concurrent clients share runs, and each gets its own scores."""

from __future__ import annotations

from concurrent import futures
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ConfigError
from ctrkit.serving import Connection, Server


def test_concurrent_requests_share_runs_and_get_their_own_scores(export: Path, index, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: 8 } batch_timeout_micros { value: 100000 } num_batch_threads { value: 1 }")
    ids = np.random.default_rng(0).integers(0, index.rows_per_column, size=(8, index.width)).astype(np.int32)
    with Server(export.parent, batching_parameters_file=file) as server, Connection(server.target) as connection:
        before = runs_of(server)
        with futures.ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(connection.predict, "serving_default", {"ids": row[None]}, deadline=20) for row in ids]
            got = np.concatenate([one.result().outputs["ctr"] for one in asked])
        assert runs_of(server) - before < 8
        rank = {"user_ids": ids[:1, : index.user_width], "item_ids": ids[:1, index.user_width :]}
        alone = connection.predict("rank", rank, deadline=20).outputs["ctr"]
    with Server(export.parent) as server, Connection(server.target) as connection:
        expected = connection.predict("serving_default", {"ids": ids}, deadline=20).outputs["ctr"]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(alone, expected[:1], rtol=0, atol=1e-6)


def test_a_bad_file_is_named_before_anything_listens(export: Path, tmp_path: Path) -> None:
    file = tmp_path / "batching.txt"
    file.write_text("max_batch_size { value: -4 }")
    with pytest.raises(ConfigError, match=r"batching\.txt: `max_batch_size` is -4, expected at least 1"):
        Server(export.parent, batching_parameters_file=file)


def runs_of(server: Server) -> float:
    """Merged runs so far, as Prometheus is told."""
    lines = server.metrics.page().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("ctrkit_batch_rows_count"))
