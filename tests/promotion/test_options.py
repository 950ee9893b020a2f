"""The options of a promotion refuse what means nothing, in words that say what to type."""

from __future__ import annotations

from typing import Any

import pytest

from ctrkit.commands.configuration import load_config
from ctrkit.commands.instantiating import make
from ctrkit.errors import ConfigError
from ctrkit.promotion import PromotionOptions


def test_the_configuration_says_what_the_options_default_to() -> None:
    assert make(load_config(["name=mine"]).promotion) == PromotionOptions(name="mine")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "a/b"}, r"`promotion.name` is 'a/b', expected a name without '/'"),
        ({"to": "previous"}, r"'previous', 'latest' and v1"),
        ({"to": "v3"}, r"`promotion.to` is 'v3'"),
        ({"gates": ["parity", "latancy"]}, r"'latancy', which is none\. Did you mean 'latency'\?"),
        ({"gates": []}, r"`promotion.gates` is empty"),
        ({"pcoc": [1.1, 0.9]}, r"`promotion.pcoc` is \[1.1, 0.9\], expected two bounds"),
        ({"confidence": 95}, r"`promotion.confidence` is 95"),
        ({"auc_margin": -0.1}, r"`promotion.auc_margin` is -0.1, expected null or a loss from 0"),
        ({"requests": 10}, r"`promotion.requests` is 10, expected 100 or more"),
        ({"latency_ms": 0}, r"`promotion.latency_ms` is 0"),
    ],
)
def test_a_wrong_option_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        PromotionOptions(**given)
