"""A placement's figure tells how far the heaviest server is from the mean."""

from __future__ import annotations

import numpy as np
import pytest

from ctrkit.analysis import placement_figure
from ctrkit.analysis.balance import balance
from ctrkit.errors import ShapeError
from tests.analysis.test_figures import pixels, texts, titles

LOADS = {
    "round robin": ([4e9, 0, 2e8, 1e6], [3e6, 0, 1e6, 2e5]),
    "balanced": ([1.0e9, 1.1e9, 1.05e9, 1.05e9], [1e6, 1.1e6, 1.05e6, 1.05e6]),
}


def test_balance_is_largest_over_mean() -> None:
    found = balance([1, 6, 0, 1])
    assert found.loads.tolist() == [6, 1, 1, 0]
    assert (found.mean, found.largest_over_mean, found.idle) == (2, 3, 1)
    assert balance([0, 0]).largest_over_mean == 1


@pytest.mark.parametrize("loads", [[], [[1.0]], [1, -1], [float("nan")]])
def test_loads_that_cannot_be_are_refused(loads: list[float]) -> None:
    with pytest.raises(ShapeError, match=r"Loads of servers: got .*expected one number >= 0 for each server"):
        balance(loads)


def test_the_figure_tells_both_balances_and_the_units() -> None:
    figure = placement_figure(LOADS, name="wide_deep")
    assert titles(figure) == [
        "Bytes held: largest over mean 1.05 (balanced)",
        "Traffic of a step: largest over mean 1.05 (balanced)",
    ]
    assert "wide_deep: 4 parameter servers, with optimizer slots" in texts(figure)
    above = figure.axes[0]
    labels = [text.get_text() for text in above.get_legend().get_texts()]
    assert "round robin: 3.81 times the mean, 1 idle" in labels
    assert above.yaxis.get_major_formatter()(2e9) == "2 GB"
    heights = sorted(patch.get_height() for patch in above.patches)
    np.testing.assert_allclose(heights, sorted(LOADS["round robin"][0] + LOADS["balanced"][0]))
    assert (pixels(figure) < 0.9).any()


@pytest.mark.parametrize("servers", [1, 2, 16, 17, 64])
def test_any_number_of_servers_is_drawn(servers: int) -> None:
    random = np.random.default_rng(servers)
    loads = {name: (random.random(servers), np.zeros(servers)) for name in ("a", "b", "c", "d", "e")}
    figure = placement_figure(loads)
    assert f"{servers} parameter server" in texts(figure)
    pixels(figure)


def test_placements_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ShapeError, match="at least one placement"):
        placement_figure({})
    with pytest.raises(ShapeError, match=r"different numbers of servers: \[1, 2\]"):
        placement_figure({"a": ([1], [1]), "b": ([1, 2], [1, 2])})
