"""`conf/serving` becomes the server's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.serve import serving_options
from ctrkit.errors import ConfigError
from ctrkit.serving.options import LimitOptions, RestOptions, ServingOptions, TlsOptions


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


def test_a_wrong_value_is_told_in_the_options_own_words() -> None:
    with pytest.raises(ConfigError, match=r"`tls\.key` is missing beside 'certificate'"):
        serving_options(load_config(["serving.tls={certificate: c}"]).serving)
    with pytest.raises(ConfigError, match=r"The options .* do not fit: '<=' not supported"):
        serving_options(load_config(["serving.port=eight"]).serving)
    with pytest.raises(ConfigError, match=r"`workers` is 0, expected at least 1"):
        serving_options(load_config(["serving.workers=0"]).serving)
