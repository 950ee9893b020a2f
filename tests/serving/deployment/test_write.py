"""Files of a deployment are written whole, again without a change, and never over somebody's own changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.errors import ArtifactError
from ctrkit.serving.deployment import DeployedModel, DeploymentOptions, write_deployment

MODEL = DeployedModel(name="ctr", parameters=1000, buckets=(1, 10))


def write(folder: Path, *, force: bool = False, **options: object) -> list[Path]:
    return write_deployment(folder, MODEL, DeploymentOptions(**options), exports=folder / "export", force=force)  # type: ignore[arg-type]


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    written = write(tmp_path)
    texts = {path.name: path.read_text() for path in written}
    assert set(texts) == {
        "models.config", "batching.config", "monitoring.config", "docker-compose.yml", "kubernetes.yaml",
    }  # fmt: skip
    assert {path.name: path.read_text() for path in write(tmp_path)} == texts
    assert {path.name for path in tmp_path.iterdir()} == set(texts)  # No half-written file is left.


def test_a_file_changed_by_hand_stays_and_nothing_else_is_written(tmp_path: Path) -> None:
    write(tmp_path)
    mine = tmp_path / "kubernetes.yaml"
    mine.write_text("mine")
    (tmp_path / "models.config").unlink()
    with pytest.raises(ArtifactError, match=r"has kubernetes\.yaml already, with other contents .*force=true"):
        write(tmp_path)
    assert mine.read_text() == "mine"
    assert not (tmp_path / "models.config").exists()
    write(tmp_path, force=True)
    assert "kind: Deployment" in mine.read_text()


def test_other_options_differ_too(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ArtifactError, match=r"has kubernetes\.yaml already"):
        write(tmp_path, replicas=5)


def test_only_the_owner_reads_the_private_key(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    write(tmp_path, tls=dict(zip(("certificate", "key"), certificate, strict=True)))
    assert (tmp_path / "ssl.config").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "models.config").stat().st_mode & 0o077
