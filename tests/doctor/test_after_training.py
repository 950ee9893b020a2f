"""What is told of records and of a run's tables, and the verb with its page and its exit status."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ctrkit.commands.main import main
from ctrkit.doctor import DoctorOptions, findings_of
from ctrkit.doctor.records_facts import records_facts
from ctrkit.doctor.trained_rows import trained_rows
from ctrkit.models import wide_deep
from ctrkit.records import Records, RecordWriter, Split, prepare
from ctrkit.schema import Schema
from ctrkit.training import TrainingOptions, train
from tests.doctor.test_findings import SCHEMA, clean

NOTHING = {"rows": 0, "duplicates": 0.0, "label": {"by_period": []}, "periods": {"rows": []}, "features": {}}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.csv"
    clean().drop("later", "day").write_csv(path)
    return path


@pytest.fixture(scope="module")
def prepared(log):
    return prepare(Schema.from_dict(SCHEMA), log, log.parent / "work", split=Split(by="random", test=0.0))


def test_ids_out_of_range_are_found_in_the_records(prepared, tmp_path) -> None:
    index, kept = prepared.index, prepared.train.arrays()
    facts = records_facts(prepared.train, index)
    assert findings_of({**NOTHING, "records": facts}, DoctorOptions()) == []
    assert facts["fields"]["history"]["missing"] == pytest.approx(
        (kept["ids"][:, index["history"].columns] == 0).mean()
    )
    ids = kept["ids"].copy()
    ids[:3, index["ad"].start] = [index["ad"].rows, index["ad"].rows + 1, 2**30]
    with RecordWriter(tmp_path / "odd", fingerprint=index.fingerprint, width=index.width, has_group=True) as writer:
        writer.write(ids, kept["label"][:, 0], None, kept["group"])
    (found,) = findings_of(
        {**NOTHING, "records": records_facts(Records.open(tmp_path / "odd"), index)}, DoctorOptions()
    )
    assert (found.check, found.feature, found.value) == ("ids", "ad", 3.0)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adagrad", "lazy_adam"])
def test_rows_that_no_step_read_are_untrained(prepared, tmp_path, optimizer) -> None:
    options = TrainingOptions(batch_size=64, max_steps=2, early_stopping=None, table_optimizer=optimizer)
    model = wide_deep(prepared.index, dim=2, hidden=(4,))
    train(model, prepared, tmp_path, options=options)
    found = trained_rows(model, prepared.index, tmp_path, options)
    batches = prepared.train.batches(64, shuffle=True, seed=0)
    read = np.concatenate([next(batches)["ids"] for _ in range(2)])
    for name in ("user", "site", "weekday"):
        field = prepared.index[name]
        rows = set(np.unique(read[:, field.columns])) - {0, 1}
        assert found[name]["known"] == field.rows - 2
        assert found[name]["untrained"] == field.rows - 2 - len(rows)
        assert not found[name]["oov_trained"]
    judged = {one.feature for one in findings_of({**NOTHING, "trained": found}, DoctorOptions())}
    assert "user" in judged
    assert "weekday" not in judged


class Links(HTMLParser):
    """What a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src") or dict(attrs).get("href") or ""
        if tag == "img" and source.startswith("data:image/png"):
            self.pictures += 1
        elif source or tag in ("script", "link", "iframe"):
            self.fetched.append(tag)


def run_doctor(log: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    conf = log.parent / "conf" / "schema"
    conf.mkdir(parents=True, exist_ok=True)
    (conf / "mine.yaml").write_text(json.dumps(SCHEMA), encoding="utf-8")
    monkeypatch.chdir(log.parent)
    main(["doctor", "schema=mine", "data=files", f"data.path={log}", "name=mine", *words])


def test_the_verb_ends_with_0_where_nothing_is_found_and_writes_a_whole_page(log, monkeypatch, capsys) -> None:
    run_doctor(log, monkeypatch)
    assert "nothing found" in capsys.readouterr().out
    folder = log.parent / "artifacts" / "mine" / "doctor"
    report = json.loads((folder / "doctor.json").read_text(encoding="utf-8"))
    assert (report["status"], report["findings"], report["rows"]) == (0, [], 7_000)
    links = Links()
    links.feed((folder / "doctor.html").read_text(encoding="utf-8"))
    assert links.fetched == []
    assert links.pictures >= 4


def test_the_verb_ends_with_3_where_something_is_found(log, monkeypatch, capsys, tmp_path) -> None:
    odd = tmp_path / "odd.csv"
    pl.read_csv(log).with_columns(site=pl.lit("<script>")).write_csv(odd)
    with pytest.raises(SystemExit) as ended:
        run_doctor(odd, monkeypatch)
    assert ended.value.code == 3
    assert "site has the same value in every row" in capsys.readouterr().out
    report = json.loads((tmp_path / "artifacts" / "mine" / "doctor" / "doctor.json").read_text(encoding="utf-8"))
    assert [one["check"] for one in report["findings"]] == ["constant"]
    with pytest.raises(SystemExit):
        run_doctor(odd, monkeypatch, "doctor.drift=null")


def test_a_wrong_threshold_is_named(log, monkeypatch, capsys) -> None:
    monkeypatch.chdir(log.parent)
    assert main(["doctor", "schema=synthetic", "doctor.drift=7"]) == 1
    assert "doctor.drift is 7, expected a number from 0 to 1" in capsys.readouterr().err
