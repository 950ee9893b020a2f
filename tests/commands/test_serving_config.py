"""`ctrkit serving-config` on a run with an export."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ctrkit.commands import serving_config
from ctrkit.commands.configuration import load_config
from ctrkit.commands.verbs import VERBS
from ctrkit.errors import ArtifactError
from ctrkit.export import ExportOptions, export_model
from ctrkit.indexing import FeatureIndex, Vocabulary
from ctrkit.schema import Schema


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment `shop` with one run, whose model is exported with XLA."""
    from ctrkit.models import logistic_regression

    features = {"user": {"kind": "categorical", "side": "user"}, "ad": {"kind": "categorical"}}
    index = FeatureIndex(
        Schema.from_dict({"label": "click", "features": features}),
        {"user": Vocabulary.of(["u"], [1]), "ad": Vocabulary.of(["a"], [1])},
        {},
    )
    root = tmp_path_factory.mktemp("artifacts")
    run_dir = root / "shop" / "runs" / "first"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("name: shop\n")
    options = ExportOptions(buckets=(1, 7), golden_rows=1, xla=True)
    export_model(logistic_regression(index), index, run_dir / "export", options=options)
    return root


def run(artifacts: Path, *words: str) -> Path:
    serving_config.run(load_config([f"root={artifacts}", "name=shop", *words]))
    return artifacts / "shop" / "runs" / "first" / "deployment"


def test_the_files_follow_from_the_export_and_the_options(artifacts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(artifacts, "deployment.replicas=3", "deployment.labels={stable:1}")
    deployment = next(
        one for one in yaml.safe_load_all((folder / "kubernetes.yaml").read_text()) if one["kind"] == "Deployment"
    )
    assert deployment["metadata"]["name"] == "shop"
    assert deployment["spec"]["replicas"] == 3
    compose = yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]["serving"]
    assert "--xla_cpu_compilation_enabled=true" in compose["command"]
    assert f"{folder.parent / 'export'}:/models/shop:ro" in compose["volumes"]
    assert "allowed_batch_sizes: 7" in (folder / "batching.config").read_text()
    said = capsys.readouterr().out
    assert "for 1, 7 rows: clients must send requests of these sizes" in said
    assert f"kubectl apply -f {folder / 'kubernetes.yaml'}" in said


def test_force_replaces_what_differs(artifacts: Path) -> None:
    folder = run(artifacts, "force=true")
    (folder / "models.config").write_text("mine")
    with pytest.raises(ArtifactError, match=r"has models\.config already.*force=true"):
        run(artifacts)
    run(artifacts, "force=true")
    assert 'name: "shop"' in (folder / "models.config").read_text()


def test_a_run_without_an_export_says_what_to_type(artifacts: Path) -> None:
    bare = artifacts / "bare" / "runs" / "second"
    bare.mkdir(parents=True)
    (bare / "config.yaml").write_text("name: bare\n")
    with pytest.raises(ArtifactError, match=r"has no export\. Type: ctrkit export run=second"):
        serving_config.run(load_config([f"root={artifacts}", "name=bare"]))


def test_the_verb_leads_to_its_module() -> None:
    assert VERBS["serving-config"].module == serving_config.__name__
