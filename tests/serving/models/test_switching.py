"""Versions are switched under threads that ask all the time: no request fails, and memory comes back."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import psutil
import pytest

from ctrkit.serving.models import ModelConfig, ModelsConfig, ServedModels, Specific
from tests.serving.models.folders import LOADER, Put, Serve, echo


class Askers:
    """Threads that use a model until the block ends; what goes wrong is raised at its end."""

    def __init__(self, models: ServedModels, threads: int, **which: str) -> None:
        self.seen: list[set[int]] = [set() for _ in range(threads)]
        self.asked = [0] * threads
        self._models, self._which = models, which
        self._errors: list[BaseException] = []
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=[number]) for number in range(threads)]

    def _ask(self, number: int) -> None:
        try:
            while not self._end.is_set():
                with self._models.use("m", **self._which) as servable:  # type: ignore[arg-type]
                    assert echo(servable) == "A"  # Raises when it was freed.
                    self.seen[number].add(servable.version)
                    self.asked[number] += 1
        except BaseException as error:
            self._errors.append(error)

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]


def test_thirty_switches_lose_no_request_of_four_threads(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    models = serve(base)
    with Askers(models, threads=4) as askers:
        for version in range(2, 32):
            put(version)
            shutil.rmtree(base / str(version - 1))  # Its files are not needed while it drains.
            models.refresh()
            assert models.available("m") == (version,)
    assert min(askers.asked) > 0
    assert len(set.union(*askers.seen)) > 5


def test_labels_and_rollbacks_lose_no_request(put: Put, base: Path, serve: Serve) -> None:
    for version in (1, 2):
        put(version)

    def config(version: int) -> ModelsConfig:
        return ModelsConfig((ModelConfig("m", base, Specific((version,)), {"stable": version}),))

    models = serve(config(1))
    with Askers(models, threads=2, label="stable") as askers:
        for round_ in range(20):
            models.apply(config(1 + (round_ + 1) % 2))
    assert set.union(*askers.seen) == {1, 2}


def test_a_reload_and_a_poll_never_load_at_once(put: Put, base: Path, serve: Serve) -> None:
    put(1)
    at_once, most = [0], [0]

    def counted(path: Path, version: int, name: str):  # type: ignore[no-untyped-def]
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        try:
            return LOADER(path, version, name)
        finally:
            at_once[0] -= 1

    models = serve(base, loader=counted, poll_every=0.001)
    for version in range(2, 12):
        put(version)
        models.apply(ModelsConfig((ModelConfig("m", base, Specific((version,))),)))
        assert models.available("m") == (version,)
    assert most == [1]


@pytest.mark.slow
def test_the_memory_of_twenty_switches_comes_back(tmp_path: Path, serve: Serve) -> None:
    import tensorflow as tf

    class Table(tf.Module):
        def __init__(self) -> None:
            self.rows = tf.Variable(tf.random.normal([1_000_000, 16]))  # 64 MB.

        @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="ids")])
        def look(self, ids):  # type: ignore[no-untyped-def]
            return {"rows": tf.gather(self.rows, ids)}

    table, base = Table(), tmp_path / "base"
    tf.saved_model.save(table, str(tmp_path / "saved"), signatures={"serving_default": table.look})
    shutil.copytree(tmp_path / "saved", base / "1")
    models, process, resident = serve(base), psutil.Process(), []
    for version in range(2, 22):
        (base / str(version - 1)).rename(base / str(version))
        models.refresh()
        assert models.available("m") == (version,)
        for thread in list(models._retiring):
            thread.join()
        resident.append(process.memory_info().rss / 1e6)
    assert resident[-1] - resident[3] < 32, resident  # Half a version.
