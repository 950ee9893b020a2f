"""Where runs are kept, and how a person gets to see them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from ctrkit.errors import TrackingError
from ctrkit.tracking import experiment_page, locate, run_page, ui_command
from ctrkit.tracking.location import without_password


def test_an_option_wins_over_the_environment_and_the_environment_over_the_default(tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": "http://from.environment:5000"}
    assert locate("http://option:1", work_root=tmp_path, environment=environment).uri == "http://option:1"
    assert locate(None, work_root=tmp_path, environment=environment).uri == "http://from.environment:5000"
    assert locate(None, work_root=tmp_path, environment={}).uri == f"sqlite:///{tmp_path}/mlflow.db"


def test_an_empty_variable_is_no_choice(tmp_path: Path) -> None:
    location = locate(None, work_root=tmp_path, environment={"MLFLOW_TRACKING_URI": ""})
    assert location.database_file == tmp_path / "mlflow.db"


def test_a_relative_database_is_made_absolute_with_its_artifacts_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = locate("sqlite:///somewhere/runs.db", environment={})
    assert location.uri == f"sqlite:///{tmp_path}/somewhere/runs.db"
    assert location.artifact_root == tmp_path / "somewhere" / "mlartifacts"


def test_a_server_keeps_its_own_artifacts() -> None:
    assert locate("https://tracking.example/", environment={}).artifact_root is None


@pytest.mark.parametrize("uri", ["./mlruns", Path("/mlruns").as_uri()])
def test_a_folder_of_files_is_refused_with_what_to_type(uri: str, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match=r"MLflow 3 no longer writes.*`tracking\.uri=sqlite:///.*mlflow\.db`"):
        locate(uri, work_root=tmp_path, environment={})


def test_a_typo_in_the_scheme_names_the_nearest() -> None:
    with pytest.raises(TrackingError, match=r"unknown scheme 'postgres'.*Did you mean 'postgresql'"):
        locate("postgres://u@h/runs", environment={})


def test_a_password_is_not_shown_in_an_error() -> None:
    with pytest.raises(TrackingError, match=r"u:\*\*\*@h") as caught:
        locate("postgres://u:secret@h/runs", environment={})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://h:5000/p", "http://h:5000/p"),
        ("http://u:p@h:5000", "http://u:***@h:5000"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("mysql+pymysql://u:p%40q@h/d", "mysql+pymysql://u:***@h/d"),
    ],
)
def test_only_passwords_are_masked(uri: str, shown: str) -> None:
    assert without_password(uri) == shown


def test_the_page_command_opens_the_same_database_with_its_artifacts(tmp_path: Path) -> None:
    words = shlex.split(ui_command(f"sqlite:///{tmp_path}/a b/mlflow.db", port=5001))
    assert words[0] == "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"
    assert words[1:3] == ["mlflow", "server"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--backend-store-uri"] == f"sqlite:///{tmp_path}/a b/mlflow.db"
    assert options["--default-artifact-root"] == f"{tmp_path}/a b/mlartifacts"
    assert options["--port"] == "5001"


def test_a_server_needs_no_command_and_has_its_own_pages() -> None:
    assert ui_command("http://h:5000") == ""
    assert run_page("http://h:5000/", "3", "abc") == "http://h:5000/#/experiments/3/runs/abc"
    assert experiment_page("http://h:5000", "3").startswith("http://h:5000/#/experiments/3/runs?")
    assert run_page("sqlite:////a.db", "3", "abc", port=5001).startswith("http://127.0.0.1:5001/#/")
