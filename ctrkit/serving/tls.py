"""Check the files of an encrypted server before it listens, and hand them to gRPC."""

from __future__ import annotations

import ssl

import grpc

from ctrkit.errors import ConfigError
from ctrkit.serving.options import TlsOptions


def server_credentials(tls: TlsOptions) -> grpc.ServerCredentials:
    """Credentials for gRPC. Raises `ConfigError` naming the file that cannot be used."""
    check(tls)
    authority = None if tls.client_authority is None else tls.client_authority.read_bytes()
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def check(tls: TlsOptions) -> None:
    """Raise `ConfigError` unless the files are there, are what they should be, and fit to each other.

    gRPC itself would only say that it cannot listen, or fail each handshake.
    """
    for name in ("certificate", "key", "client_authority"):
        path = getattr(tls, name)
        if path is not None:
            try:
                path.read_bytes()
            except OSError as error:
                raise ConfigError(f"`tls.{name}`: cannot read {path}: {error.strerror}.") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"The private key {tls.key} does not belong to the certificate {tls.certificate}. Name the pair that "
                "was made together (`tls.key`, `tls.certificate`)."
            ) from error
        raise ConfigError(
            f"Cannot use certificate {tls.certificate} with key {tls.key}: {error}. Expected both in PEM form "
            "(-----BEGIN CERTIFICATE-----), the key without a password."
        ) from error
    if tls.client_authority is not None:
        try:
            context.load_verify_locations(tls.client_authority)
        except ssl.SSLError as error:
            raise ConfigError(
                f"`tls.client_authority`: {tls.client_authority} holds no certificate in PEM form ({error})."
            ) from error


def _no_password() -> str:
    raise ConfigError("The private key is protected by a password, which a server cannot type. Decrypt it first.")
