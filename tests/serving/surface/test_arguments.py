"""The server's command line, in its own words and in those of tensorflow_model_server."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pytest

from ctrkit.errors import ConfigError
from ctrkit.serving import ServingOptions
from ctrkit.serving.arguments import Arguments
from ctrkit.serving.configured import models_config, policy_of
from ctrkit.serving.models import All, Latest, Specific
from ctrkit.serving.options import LimitOptions, RestOptions, TlsOptions


def test_a_docker_command_line_of_tensorflow_serving_is_understood(caplog: pytest.LogCaptureFixture) -> None:
    given = Arguments.parse(
        [
            "--port=8500",
            "--rest_api_port=8501",
            "--model_name=ads",
            "--model_base_path=/models/ads",
            "--file_system_poll_wait_seconds=5",
            "--rest_api_timeout_in_ms=2500",
            "--enable_batching=true",
            "--batching_parameters_file=/b.config",
            "--tensorflow_session_parallelism=4",
            "--enable_model_warmup=false",
            "--allow_version_labels_for_unavailable_models=true",
        ]
    )
    assert given.path == Path("/models/ads")
    assert given.options == ServingOptions(
        name="ads",
        port=8500,
        rest=RestOptions(port=8501, timeout=2.5),
        poll_every=5.0,
        batching_parameters_file=Path("/b.config"),
        warmup=False,
        allow_unavailable_labels=True,
    )
    assert "--tensorflow_session_parallelism has no meaning here: use --workers" in caplog.text


def test_our_own_words(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        given = Arguments.parse(
            [
                "export",
                "--version-policy",
                "latest:2",
                "--labels",
                "stable=3,canary=4",
                "--poll-every",
                "0",
                "--rest-port",
                "0",
                "--max-queue",
                "0",
                "--tls-certificate",
                "c",
                "--tls-key",
                "k",
                "--workers",
                "3",
                "--processes",
                "2",
                "--same-index",
                "--any-saved-model",
            ]
        )
    assert given.options == ServingOptions(
        version_policy="latest:2",
        labels={"stable": 3, "canary": 4},
        poll_every=None,
        port=8500,
        rest=RestOptions(port=0),
        limits=LimitOptions(max_queue=0),
        tls=TlsOptions(certificate=Path("c"), key=Path("k")),
        workers=3,
        processes=2,
        same_index=True,
        require_index=False,
    )
    assert not caplog.text


def test_no_rest_port_in_their_words_is_none_in_ours() -> None:
    assert Arguments.parse(["m", "--rest_api_port=0"]).options.rest is None
    assert Arguments.parse(["m", "--file_system_poll_wait_seconds=-1"]).options.poll_every is None


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["m", "--labels", "stable:3"], "Label 'stable:3' is not of the form NAME=VERSION"),
        (["m", "--tls-key", "k"], "needs both --tls-certificate and --tls-key"),
        (["m", "--rest-api-timeout-in-ms=soon"], "--rest-api-timeout-in-ms is 'soon', expected a number"),
        (["m", "--port", "8501", "--rest-port", "8501"], "`rest.port` and `port` are both 8501"),
        (["m", "--workers", "0"], "`workers` is 0, expected at least 1"),
        (
            ["m", "--options-json", '{"limits": {"max_quue": 1}}'],
            "`limits.max_quue`. Did you mean 'max_queue'",
        ),
        (["m", "--options-json", "{"], "The options are not JSON"),
    ],
)
def test_values_that_cannot_be_used(words: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Arguments.parse(words)
    assert text in str(caught.value)


def test_an_unknown_flag_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        Arguments.parse(["m", "--model_nmae=x"])
    assert "Did you mean 'model-name'?" in capsys.readouterr().err


def test_options_survive_their_text() -> None:
    options = ServingOptions(
        name="a",
        labels={"stable": 3},
        model_config_file=Path("/m"),
        poll_every=None,
        rest=RestOptions(port=1, timeout=2.0),
        tls=TlsOptions(certificate=Path("/c"), key=Path("/k"), client_authority=Path("/a")),
        limits=LimitOptions(max_queue=0, receive_timeout=1.5),
        batching_parameters_file=Path("/b"),
        processes=3,
    )
    changed = {field.name for field in dataclasses.fields(options) if getattr(options, field.name) != field.default}
    assert changed >= {"name", "labels", "rest", "tls", "limits", "processes"}
    assert ServingOptions.from_json(options.to_json()) == options


@pytest.mark.parametrize(
    ("text", "policy"),
    [("latest", Latest(1)), ("latest:2", Latest(2)), ("all", All()), ("specific:5,3", Specific((3, 5)))],
)
def test_policies_in_one_word(text: str, policy: Any) -> None:
    assert policy_of(text) == policy


@pytest.mark.parametrize(
    "text", ["", "newest", "latest:0", "latest:1,2", "all:1", "specific", "specific:x", "latest:-1"]
)
def test_a_policy_that_means_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match='expected "latest", "latest:2"'):
        policy_of(text)


def test_a_file_of_models_stands_in_place_of_one_model(tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(
        'model_config_list { config { name: "a" base_path: "/a" model_platform: "tensorflow" } '
        'config { name: "b" base_path: "/b" model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    options = ServingOptions(model_config_file=file)
    assert [(one.name, one.policy) for one in models_config(None, options).models] == [("a", Latest(1)), ("b", All())]
    with pytest.raises(ConfigError, match=r"Both a model's directory .* and a file of models .* are named"):
        models_config("/a", options)
    with pytest.raises(ConfigError, match=r"`labels` and `version_policy` belong into .*models\.config"):
        models_config(None, dataclasses.replace(options, labels={"stable": 1}))
    with pytest.raises(ConfigError, match="No model to serve: name the directory"):
        models_config(None, ServingOptions())
