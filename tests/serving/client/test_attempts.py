"""Retries, several targets, hedging and deadlines, by threads and by asyncio."""

from __future__ import annotations

import itertools
import socket
import time

import grpc
import numpy as np
import pytest

from ctrkit.errors import RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.client import Client, ConnectionOptions, Hedging
from tests.serving.client.conftest import Ask
from tests.serving.client.scripted import Refused, Scripted, slow

ONE = ({"user_id": "u3"}, {"hour": 13}, [{"ad_id": f"a{k}"} for k in range(5)])


def dead_target() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def refusing(times: int, *refused: object, **more: object):  # type: ignore[no-untyped-def]
    def script(request: object, number: int) -> None:
        if number < times:
            raise Refused(*refused, **more)  # type: ignore[arg-type]

    return script


def test_unavailable_is_asked_again(ask: Ask, index: FeatureIndex) -> None:
    with Scripted(index.fingerprint, refusing(2, grpc.StatusCode.UNAVAILABLE)).running() as server:
        (ranking,) = ask([ONE], server.target, index)
        assert len(server.requests) == 3
    first = index["ad_id"].start - index.user_width
    expected = 1 + index.ids_of(ONE[2], index.item_fields)[:, first] / 1000
    np.testing.assert_allclose(ranking.scores, expected, rtol=1e-6)
    assert (ranking.version, ranking.targets) == (1, (server.target,))


@pytest.mark.parametrize(
    ("refused", "tries"),
    [
        ((grpc.StatusCode.INVALID_ARGUMENT,), 1),
        ((grpc.StatusCode.INTERNAL,), 1),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED,), 1),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", 5), 3),  # It says when to come again.
        ((grpc.StatusCode.UNAVAILABLE,), 3),
    ],
)
def test_only_what_may_pass_is_asked_again_and_not_for_ever(ask: Ask, index: FeatureIndex, refused, tries) -> None:  # type: ignore[no-untyped-def]
    with Scripted(index.fingerprint, refusing(99, *refused)).running() as server:
        with pytest.raises((ServingError, RequestError)):
            ask([ONE], server.target, index)
        assert len(server.requests) == tries


def test_the_deadline_holds_for_all_attempts_together(ask: Ask, index: FeatureIndex) -> None:
    options = ConnectionOptions(attempts=10_000, backoff=0.01, deadline=0.5)
    began = time.monotonic()
    with (
        Scripted(index.fingerprint, refusing(10_000, grpc.StatusCode.UNAVAILABLE)).running() as server,
        pytest.raises(ServingError, match="No server answers"),
    ):
        ask([ONE], server.target, index, options=options)
    assert time.monotonic() - began < 5
    assert 3 < len(server.requests) < 50  # The pause doubles.


def test_what_was_wrong_is_told_when_the_last_attempt_has_no_time_left(ask: Ask, index: FeatureIndex) -> None:
    def script(request: object, number: int) -> None:
        if number == 0:
            raise Refused(grpc.StatusCode.UNAVAILABLE, "gone to lunch")
        time.sleep(1.5)

    with (
        Scripted(index.fingerprint, script).running() as server,
        pytest.raises(ServingError, match="gone to lunch"),
    ):
        ask([ONE], server.target, index, options=ConnectionOptions(deadline=1))


def test_a_target_that_is_down_is_left_out(ask: Ask, index: FeatureIndex) -> None:
    with Scripted(index.fingerprint).running() as one, Scripted(index.fingerprint).running() as two:
        rankings = ask([ONE] * 30, [dead_target(), one.target, two.target], index, deadline=20)
        assert {ranking.targets for ranking in rankings} == {(one.target,), (two.target,)}
        assert len(one.requests) + len(two.requests) == 30
        assert min(len(one.requests), len(two.requests)) > 5


def test_every_channel_is_used(index: FeatureIndex) -> None:
    with Scripted(index.fingerprint).running() as server:
        options = ConnectionOptions(channels=4)
        with Client(server.target, index, options=options, deadline=20) as client:
            for _ in range(8):
                client.rank(*ONE)
            lanes = client.connection.targets.lanes
    assert len(lanes) == 4
    assert {lane.served for lane in lanes} <= {2, 3}  # Eight, and one for the fingerprint.
    assert all(lane.outstanding == 0 for lane in lanes)


def test_a_slow_target_is_overtaken_by_another(ask: Ask, index: FeatureIndex) -> None:
    late = Scripted(index.fingerprint, slow(1.5))
    quick = Scripted(index.fingerprint)
    with late.running(), quick.running():
        options = ConnectionOptions(hedging=Hedging(after=0.05, share=1.0))
        rankings = ask([ONE] * 4, [late.target, quick.target], index, options=options, deadline=20)
        assert {ranking.targets for ranking in rankings} == {(quick.target,)}
        assert max(ranking.seconds for ranking in rankings) < 1.4
        assert late.requests
        assert late.cancelled.wait(10)  # The request that lost was called off.


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED])
def test_a_slow_target_is_waited_for_when_the_other_is_overloaded(ask: Ask, index: FeatureIndex, code) -> None:  # type: ignore[no-untyped-def]
    asked = itertools.count()

    def script(request: object, number: int) -> None:
        if next(asked) > 0:
            raise Refused(code)
        time.sleep(0.5)

    one, two = Scripted(index.fingerprint, script), Scripted(index.fingerprint, script)
    with one.running(), two.running():
        options = ConnectionOptions(hedging=Hedging(after=0.05, share=1.0))
        (ranking,) = ask([ONE], [one.target, two.target], index, options=options, deadline=20)
        assert (len(one.requests), len(two.requests)) == (1, 1)
        assert ranking.seconds >= 0.5


def test_hedging_never_doubles_the_load(index: FeatureIndex) -> None:
    one, two = Scripted(index.fingerprint, slow(0.02)), Scripted(index.fingerprint, slow(0.02))
    with one.running(), two.running():
        options = ConnectionOptions(hedging=Hedging(after=0.001, share=0.1))
        with Client([one.target, two.target], index, options=options, deadline=20) as client:
            for _ in range(60):
                client.rank(*ONE)
            assert 3 <= client.connection.hedges.sent <= 8  # A tenth, and one in stock.
        assert 60 < len(one.requests) + len(two.requests) <= 68


def test_the_delay_of_hedges_is_learned(index: FeatureIndex) -> None:
    options = ConnectionOptions(hedging=Hedging())
    with (
        Scripted(index.fingerprint, slow(0.02)).running() as server,
        Client(server.target, index, options=options, deadline=20) as client,
    ):
        client.rank(*ONE)
        assert client.connection.hedges.delay is None
        for _ in range(40):
            client.rank(*ONE)
        assert client.connection.hedges.delay >= 0.02
        assert client.connection.hedges.sent == 0  # There is no other target and no other channel.


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"deadline": 0}, "`deadline` is 0 seconds, expected more than 0"),
        ({"attempts": 0}, "`attempts` is 0, expected 1 or more"),
        ({"channels": 0}, "`channels` is 0"),
        ({"backoff": -1}, "`backoff` is -1 seconds"),
        ({"compression": "gzp"}, "`compression` is 'gzp'. Did you mean 'gzip'"),
    ],
)
def test_options_that_mean_nothing_are_refused(given: dict, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        ConnectionOptions(**given)


@pytest.mark.parametrize(
    ("given", "text"), [({"after": 0}, "`after`"), ({"quantile": 1}, "`quantile`"), ({"share": 2}, "`share`")]
)
def test_hedging_that_means_nothing_is_refused(given: dict, text: str) -> None:
    with pytest.raises(RequestError, match=text):
        Hedging(**given)


def test_no_target_is_refused(index: FeatureIndex) -> None:
    with pytest.raises(RequestError, match="Targets are"):
        Client([], index)
