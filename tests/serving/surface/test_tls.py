"""Encrypted ports, clients with and without certificates, and files that do not fit."""

from __future__ import annotations

import http.client
import ssl
import subprocess
from pathlib import Path

import grpc
import numpy as np
import pytest

from ctrkit.errors import ConfigError
from ctrkit.serving import serve_in_process
from ctrkit.serving.options import RestOptions, TlsOptions
from ctrkit.serving.tls import check

from .calls import PREDICT, asked, predict_request

SHUT_OUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority (ca), a server's and a client's certificate by it, and a stranger's by nobody."""
    folder = tmp_path_factory.mktemp("pki")
    subject = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj")
    for name in ("ca", "stranger"):
        openssl(
            "req", "-x509", *subject, f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"
        )
    for name in ("server", "client"):
        openssl("req", *subject, f"/CN={name}", "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr")
        (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl(
            "x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key",
            "-CAcreateserial", "-out", folder / f"{name}.pem", "-extfile", folder / f"{name}.ext",
        )  # fmt: skip
    openssl("ec", "-aes128", "-in", folder / "server.key", "-out", folder / "locked.key", "-passout", "pass:secret")
    return folder


def predicted(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.StatusCode:
    request = predict_request("halves", x=np.ones(1, np.float32))
    channel = grpc.insecure_channel(target) if credentials is None else grpc.secure_channel(target, credentials)
    with channel:
        return asked(channel, PREDICT, request, timeout=3).code()  # type: ignore[no-any-return]


def https_status(target: str, context: ssl.SSLContext) -> int:
    host, _, port = target.rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=20, context=context)
    connection.request("GET", "/v1/models/halves")
    status = connection.getresponse().status
    connection.close()
    return status


def test_only_clients_with_a_certificate_of_the_authority_are_let_in(halves: Path, pki: Path) -> None:
    read = {
        name: (pki / name).read_bytes()
        for name in ("ca.pem", "client.key", "client.pem", "stranger.key", "stranger.pem")
    }
    tls = TlsOptions(certificate=pki / "server.pem", key=pki / "server.key", client_authority=pki / "ca.pem")
    with serve_in_process(halves, name="halves", require_index=False, tls=tls, rest=RestOptions()) as server:
        credentials = grpc.ssl_channel_credentials
        known = credentials(read["ca.pem"], read["client.key"], read["client.pem"])
        assert predicted(server.target, known) == grpc.StatusCode.OK
        strangers = (
            credentials(read["ca.pem"]),
            credentials(read["ca.pem"], read["stranger.key"], read["stranger.pem"]),
            None,
        )
        for stranger in strangers:
            assert predicted(server.target, stranger) in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
            )
        assert server.rest_target is not None
        context = ssl.create_default_context(cafile=pki / "ca.pem")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            https_status(server.rest_target, context)
        context.load_cert_chain(pki / "client.pem", pki / "client.key")
        assert https_status(server.rest_target, context) == 200


def test_a_server_with_a_certificate_alone_takes_any_client(halves: Path, pki: Path) -> None:
    tls = TlsOptions(certificate=pki / "server.pem", key=pki / "server.key")
    with serve_in_process(halves, name="halves", require_index=False, tls=tls) as server:
        assert (
            predicted(server.target, grpc.ssl_channel_credentials((pki / "ca.pem").read_bytes())) == grpc.StatusCode.OK
        )
        assert "without encryption" not in server.log_tail()


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"certificate": "absent.pem"}, r"`tls\.certificate`: cannot read .*absent\.pem: No such file"),
        ({"key": "client.key"}, r"private key .*client\.key does not belong to the certificate .*server\.pem"),
        (
            {"key": "server.pem"},
            r"Cannot use certificate .*server\.pem with key .*server\.pem: .*Expected both in PEM form",
        ),
        ({"key": "locked.key"}, r"private key is protected by a password"),
        ({"client_authority": "ca.key"}, r"`tls\.client_authority`: .*ca\.key holds no certificate in PEM form"),
    ],
)
def test_files_that_do_not_fit_are_named(pki: Path, files: dict[str, str], text: str) -> None:
    names = {"certificate": "server.pem", "key": "server.key", **files}
    with pytest.raises(ConfigError, match=text):
        check(TlsOptions(**{name: pki / file for name, file in names.items()}))
