"""What a machine lacks for a test: skipped on a laptop, a failure where all tests are meant to run."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

ALL_TESTS = "CTRKIT_ALL_TESTS"  # Set where a test that is skipped would be a hole, as in continuous integration.


def missing(what: str) -> NoReturn:
    """Skip the test, saying what to install; fail it where `CTRKIT_ALL_TESTS` is set."""
    if os.environ.get(ALL_TESTS):
        pytest.fail(f"{what} ({ALL_TESTS} is set)")
    pytest.skip(what)
