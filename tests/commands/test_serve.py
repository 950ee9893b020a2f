"""`conf/serving` becomes the server's options."""

from __future__ import annotations

import json
from pathlib import Path

import grpc
import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.rank import Known, tls_of
from ctrkit.commands.serve import announce, serving_options
from ctrkit.errors import ConfigError
from ctrkit.serving import Server
from ctrkit.serving.client import ClientTls
from ctrkit.serving.options import LimitOptions, RestOptions, ServingOptions, TlsOptions
from tests.certificate import self_signed


def test_the_configuration_says_what_the_options_default_to() -> None:
    expected = ServingOptions(name="mine", port=8500, rest=RestOptions(port=8501))
    assert serving_options(load_config(["name=mine"]).serving) == expected


def test_every_key_reaches_the_server() -> None:
    config = load_config(
        [
            "serving.model=ads",
            "serving.host=0.0.0.0",
            "serving.port=1",
            "serving.rest_port=null",
            "serving.tls={certificate: c, key: k}",
            "serving.version_policy=latest:2",
            "serving.labels={stable: 3}",
            "serving.model_config_file=m",
            "serving.poll_every=null",
            "serving.same_index=true",
            "serving.workers=3",
            "serving.processes=2",
            "serving.batching_parameters_file=b",
            "serving.max_queue=0",
            "serving.grace=1",
        ]
    )
    assert serving_options(config.serving) == ServingOptions(
        name="ads",
        host="0.0.0.0",
        port=1,
        rest=None,
        tls=TlsOptions(certificate=Path("c"), key=Path("k")),
        version_policy="latest:2",
        labels={"stable": 3},
        model_config_file=Path("m"),
        poll_every=None,
        same_index=True,
        workers=3,
        processes=2,
        batching_parameters_file=Path("b"),
        limits=LimitOptions(max_queue=0),
        grace=1,
    )


def known(certificate: str | None) -> Known:
    return Known(targets=["h:1"], model="ads", exported=Path("e"), run_dir=Path("r"), certificate=certificate)


def test_rank_trusts_the_server_that_it_found_or_what_it_is_told() -> None:
    assert tls_of(load_config([]), known(None)) is None
    assert tls_of(load_config([]), known("server.pem")) == ClientTls(authority="server.pem")
    given = load_config(["serving.client_tls={authority: ca.pem, server_name: ranker}"])
    assert tls_of(given, known("server.pem")) == ClientTls(authority="ca.pem", server_name="ranker")
    with pytest.raises(ConfigError, match=r"serving\.client_tls has no 'authorty'\. Did you mean 'authority'\?"):
        tls_of(load_config(["serving.client_tls={authorty: ca.pem}"]), known(None))


def test_an_encrypted_server_announces_its_certificate(tmp_path: Path) -> None:
    pem, key = self_signed(tmp_path)
    tls = TlsOptions(certificate=pem, key=key)
    with Server(None, ServingOptions(port=0, tls=tls, model_config_file=no_models(tmp_path))) as server:
        announce(tmp_path / "server.json", server, exported=tmp_path, run="r", run_dir="d", model="ads")
        found = json.loads((tmp_path / "server.json").read_text())
        assert (found["certificate"], found["target"]) == (str(pem), server.target)
        credentials = ClientTls(authority=found["certificate"]).credentials()
        named = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(server.target, credentials, named) as channel:
            grpc.channel_ready_future(channel).result(timeout=20)


def no_models(folder: Path) -> Path:
    (folder / "models.config").write_text("model_config_list {}")
    return folder / "models.config"


def test_a_wrong_value_is_told_in_the_options_own_words() -> None:
    with pytest.raises(ConfigError, match=r"`tls\.key` is missing beside 'certificate'"):
        serving_options(load_config(["serving.tls={certificate: c}"]).serving)
    with pytest.raises(ConfigError, match=r"The options .* do not fit: '<=' not supported"):
        serving_options(load_config(["serving.port=eight"]).serving)
    with pytest.raises(ConfigError, match=r"`workers` is 0, expected at least 1"):
        serving_options(load_config(["serving.workers=0"]).serving)
