"""A client without an index of its own: fetched from the server in parts, kept on disk, followed when it changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving import Client, Server
from ctrkit.serving.client import fetched_index

USER, CONTEXT = {"user_id": "u3", "history": ["a1", "a2"]}, {"hour": 13}
ADS = [{"ad_id": f"a{i}", "cpc": 0.1 * i} for i in range(9)]


@pytest.fixture
def bare_server(export: Path, tmp_path: Path) -> Iterator[Server]:
    """The same model without the signature, as older exports are."""
    from tensorflow.core.protobuf import saved_model_pb2

    copy = Path(shutil.copytree(export, tmp_path / "bare" / "1"))
    saved = saved_model_pb2.SavedModel.FromString((copy / "saved_model.pb").read_bytes())
    del saved.meta_graphs[0].signature_def["feature_index"]
    (copy / "saved_model.pb").write_bytes(saved.SerializeToString())
    with Server(copy) as running:
        yield running


def test_the_index_is_fetched_once_and_kept(server: Server, index: FeatureIndex, tmp_path: Path) -> None:
    with Client(server.target, index=index, deadline=20) as given:
        expected = given.rank(USER, CONTEXT, ADS)
    with Client(server.target, deadline=20, index_cache=tmp_path) as first:
        np.testing.assert_array_equal(first.rank(USER, CONTEXT, ADS), expected)
        assert first.index.fingerprint == index.fingerprint
    kept = tmp_path / "indexes" / index.fingerprint
    changed = (kept / "index.json").stat().st_mtime_ns
    with Client(server.target, deadline=20, index_cache=tmp_path) as second:
        np.testing.assert_array_equal(second.rank(USER, CONTEXT, ADS), expected)
    assert (kept / "index.json").stat().st_mtime_ns == changed
    (kept / "vocabulary" / "ad_id.vocab").write_bytes(b"damaged")
    with Client(server.target, deadline=20, index_cache=tmp_path) as third:
        np.testing.assert_array_equal(third.rank(USER, CONTEXT, ADS), expected)
    assert (kept / "index.json").stat().st_mtime_ns != changed
    assert not list(tmp_path.rglob("*incomplete*"))


def test_the_default_folder_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert fetched_index.cache_folder() == Path.home() / ".cache" / "ctrkit"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetched_index.cache_folder() == tmp_path / "ctrkit"


def test_a_folder_that_cannot_be_written_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        Client(server.target, deadline=20, index_cache=tmp_path / "file") as client,
        pytest.raises(ArtifactError, match=r"Cannot keep the index of model 'ctr' at .*index_cache=FOLDER"),
    ):
        client.rank(USER, CONTEXT, ADS)


def test_a_model_without_its_index_says_so(bare_server: Server, index: FeatureIndex, tmp_path: Path) -> None:
    with (
        Client(bare_server.target, deadline=20, index_cache=tmp_path) as client,
        pytest.raises(ServingError, match=r"does not carry its feature index.*index=PATH_OF_THE_EXPORT"),
    ):
        client.rank(USER, CONTEXT, ADS)
    with Client(bare_server.target, index=index, deadline=20) as client:
        assert len(client.rank(USER, CONTEXT, ADS)) == len(ADS)


@pytest.mark.parametrize("path", ["../outside", "/etc/outside", "vocabulary/../../outside"])
def test_contents_that_lead_outside_of_the_folder_are_refused(tmp_path: Path, path: str) -> None:
    contents = {"fingerprint": "f", "part_bytes": 10, "files": [{"path": path, "bytes": 1, "sha256": "0"}]}
    conversation = fetched_index.fetching(_Said("f", contents), tmp_path / "cache")  # type: ignore[arg-type]
    with pytest.raises(ServingError, match="a path outside of the index"):
        next(conversation)
    assert not list(tmp_path.rglob("outside"))


def test_bytes_that_are_not_those_of_the_contents_are_refused(tmp_path: Path) -> None:
    contents = {"fingerprint": "f", "part_bytes": 10, "files": [{"path": "x", "bytes": 0, "sha256": "0"}]}
    conversation = fetched_index.fetching(_Said("f", contents), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match="File x of the index fetched from here is not what its contents say"):
        next(conversation)
    assert list((tmp_path / "indexes").iterdir()) == []


class _Said:
    """What a server answered, for conversations that come to their end without another call."""

    model = target = "here"

    def __init__(self, fingerprint: str, contents: object) -> None:
        self._said = {
            "fingerprint": {"fingerprint": np.array([fingerprint.encode()], dtype=object)},
            "feature_index": {"bytes": np.array([json.dumps(contents).encode()], dtype=object)},
        }

    def asking_predict(self, signature: str, *_: object, **__: object):  # type: ignore[no-untyped-def]
        from ctrkit.serving.connection import Answer

        return Answer(self._said[signature], 1, "here")
        yield


def test_a_fetched_index_follows_the_served_version(export: Path, index, other_index, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    from ctrkit.export import ExportOptions, export_model
    from ctrkit.models import wide_deep

    other = wide_deep(other_index, dim=2, hidden=(4,))
    path = export_model(other, other_index, tmp_path / "export", options=ExportOptions(buckets=(1,)), version=2)
    with Server(export) as first:
        port = int(first.target.rpartition(":")[2])
        client = Client(first.target, deadline=20, index_cache=tmp_path / "cache", ad_key="ad_id")
        client.remember(ADS)
        assert client.ranking(USER, CONTEXT, ADS).version == 1
    with client, Server(path, port=port):
        client.wait_until_available(20)
        ranking = client.ranking(USER, CONTEXT, [ad["ad_id"] for ad in ADS])
        assert ranking.version == 2
        whole = other_index.ids([{**USER, **CONTEXT, **ad} for ad in ADS])
        np.testing.assert_allclose(ranking.scores, other.predict(whole, verbose=0)[:, 0], atol=1e-6)
        assert client.index.fingerprint == other_index.fingerprint
