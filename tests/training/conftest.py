"""A small log, prepared once for all tests of training, and one run over it."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.training.runs import SCHEMA, Undisturbed, last_weights, options, small_model, weights_of, write_log

os.environ.setdefault("CTRKIT_QUIET", "1")


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory):
    """Index and records of the log above: 4,800 rows to train on, the rest in two parts."""
    from ctrkit.records import prepare
    from ctrkit.schema import Schema

    folder = tmp_path_factory.mktemp("log")
    write_log(folder / "log.csv")
    return prepare(Schema.from_dict(SCHEMA), folder / "log.csv", folder / "work")


@pytest.fixture
def build(prepared) -> Callable:
    """A function that builds the same small model with the same initial weights each time."""
    return lambda **options: small_model(prepared.index, **options)


@pytest.fixture(scope="session")
def undisturbed(prepared, tmp_path_factory) -> Undisturbed:
    from ctrkit.training import train

    run_dir = tmp_path_factory.mktemp("undisturbed")
    model = small_model(prepared.index)
    result = train(model, prepared, run_dir, options=options())
    return Undisturbed(run_dir, model, result, weights_of(model), last_weights(prepared, run_dir))


@pytest.fixture(scope="session")
def sequences(tmp_path_factory):
    """Index and records with a sequence and every other kind of feature: 4,000 rows to train on."""
    from tests.training.cut_runs import write_records

    return write_records(tmp_path_factory.mktemp("sequences") / "train")
