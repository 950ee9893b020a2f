"""The project's own model takes what the schema says, and begins with the share of clicks."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import ctrkit
from ctrkit.records.log import log_files, read_head
from models import own_model

PROJECT = Path(__file__).resolve().parents[1]
NAME = "{{name}}"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Index and records of the log's first rows."""
    monkeypatch.chdir(PROJECT)
    schema = ctrkit.Schema.from_yaml(f"conf/schema/{NAME}.yaml")
    log = yaml.safe_load(Path(f"conf/experiment/{NAME}.yaml").read_text())["data"]["path"]
    rows = read_head(schema, log_files(log)[0], 2_000)
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(tmp_path / "head.parquet")
    parquet = ctrkit.Schema.from_dict({**schema.to_dict(), "format": "parquet"})
    return ctrkit.prepare(parquet, tmp_path / "head.parquet", tmp_path / "prepared")


def test_an_untrained_model_predicts_the_share_of_clicks(data):
    model = own_model(data.index, label_rate=data.train.label_rate)
    scores = model.predict(data.train.arrays(limit=500)["ids"], verbose=0)
    assert scores.shape == (500, 1)
    assert np.allclose(scores, data.train.label_rate, atol=0.05)
