"""A certificate, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.certificate import self_signed


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))
