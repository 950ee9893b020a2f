"""Folders of versions to change under a running `ServedModels`; the versions are real SavedModels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ctrkit.serving.models import ModelsConfig, ServedModels
from tests.serving.models.folders import AT_ONCE, LOADER, Changes


@pytest.fixture
def put(export: Path, strings: Path, tmp_path: Path) -> Callable[..., Path]:
    """`put(2)` copies a small SavedModel to `base/2`; `put(2, kind="export")` one with an index and warmup requests."""

    def copy(version: int | str, *, kind: str = "strings", model: str = "base") -> Path:
        source = {"strings": strings, "export": export}[kind]
        aside = shutil.copytree(source, tmp_path / "aside" / model / str(version))
        path = tmp_path / model / str(version)
        path.parent.mkdir(exist_ok=True)
        return aside.rename(path)

    return copy


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The folder of versions that `put` fills."""
    return tmp_path / "base"


@pytest.fixture
def serve() -> Iterator[Callable[..., ServedModels]]:
    """Start a `ServedModels` over a folder or a configuration; it ends with the test."""
    running = []

    def start(what: Path | ModelsConfig, **options: Any) -> ServedModels:
        config = what if isinstance(what, ModelsConfig) else ModelsConfig.of_one("m", what)
        models = ServedModels(config, **{"loader": LOADER, "poll_every": None, "patience": AT_ONCE, **options})
        running.append(models)
        models.start()
        return models

    yield start
    for models in running:
        models.close()


@pytest.fixture
def changes() -> Changes:
    return Changes()
