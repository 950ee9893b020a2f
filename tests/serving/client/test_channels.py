"""How a client connects: encryption, who it says it is, compression, what goes with every call."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest

from ctrkit.errors import ArtifactError, RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.client import ClientTls, ConnectionOptions
from tests.serving.client.conftest import Ask
from tests.serving.client.scripted import Scripted

ONE = ({"user_id": "u3"}, {"hour": 13}, [{"ad_id": f"a{k}"} for k in range(200)])


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server ("ranker.internal") and a client that it signed."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority")
    (folder / "names").write_text("subjectAltName=DNS:ranker.internal")
    for name in ("server", "client"):
        openssl("req", *curve[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        openssl("x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed)
    return folder


def credentials(folder: Path, *, mutual: bool) -> grpc.ServerCredentials:
    pair = [((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())]
    return grpc.ssl_server_credentials(pair, (folder / "ca.pem").read_bytes() if mutual else None, mutual)


def test_a_connection_is_encrypted_and_the_server_known(ask: Ask, index: FeatureIndex, certificates: Path) -> None:
    tls = ClientTls(authority=certificates / "ca.pem", server_name="ranker.internal")
    with Scripted(index.fingerprint).running(credentials(certificates, mutual=False)) as server:
        (ranking,) = ask([ONE], server.target, index, options=ConnectionOptions(tls=tls))
        assert len(ranking) == 200
        for wrong in (ClientTls(authority=certificates / "ca.pem"), ClientTls(server_name="ranker.internal"), None):
            with pytest.raises(ServingError):
                ask([ONE], server.target, index, options=ConnectionOptions(tls=wrong, attempts=1))


def test_a_server_may_ask_who_the_client_is(ask: Ask, index: FeatureIndex, certificates: Path) -> None:
    anybody = ClientTls(authority=certificates / "ca.pem", server_name="ranker.internal")
    known = ClientTls(
        authority=certificates / "ca.pem",
        server_name="ranker.internal",
        certificate=certificates / "client.pem",
        key=certificates / "client.key",
    )
    with Scripted(index.fingerprint).running(credentials(certificates, mutual=True)) as server:
        (ranking,) = ask([ONE], server.target, index, options=ConnectionOptions(tls=known))
        assert len(ranking) == 200
        with pytest.raises(ServingError):
            ask([ONE], server.target, index, options=ConnectionOptions(tls=anybody, attempts=1))


def test_half_of_a_certificate_is_refused(ask: Ask, index: FeatureIndex, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"TLS has a `key` without a `certificate`"):
        ClientTls(key="client.key")
    with pytest.raises(ArtifactError, match=r"Cannot read .*absent\.pem for TLS: No such file"):
        ask([ONE], "127.0.0.1:1", index, options=ConnectionOptions(tls=ClientTls(authority=tmp_path / "absent.pem")))


def test_metadata_and_the_fingerprint_go_with_every_call(ask: Ask, index: FeatureIndex) -> None:
    options = ConnectionOptions(metadata=(("authorization", "Bearer x"),), authority="ranker.internal")
    with Scripted(index.fingerprint).running() as server:
        ask([ONE, ONE], server.target, index, options=options)
        assert [(m["authorization"], m["ctrkit-fingerprint"]) for m in server.metadata] == [
            ("Bearer x", index.fingerprint)
        ] * 2


@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_requests_may_be_compressed(ask: Ask, index: FeatureIndex, compression: str) -> None:
    with Scripted(index.fingerprint).running() as server:
        (plain,) = ask([ONE], server.target, index)
        (smaller,) = ask([ONE], server.target, index, options=ConnectionOptions(compression=compression))
    np.testing.assert_array_equal(smaller.scores, plain.scores)
