"""Which version answers: pinned, told, never two in one answer."""

from __future__ import annotations

import threading

import grpc
import numpy as np
import pytest

from ctrkit.errors import IndexMismatchError, RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.client import Client
from tests.serving.client.conftest import Ask
from tests.serving.client.scripted import Refused, Scripted

USER, CONTEXT = {"user_id": "u3"}, {"hour": 13}
ADS = [{"ad_id": f"a{k}"} for k in range(25)]


def test_a_long_list_is_split_and_put_together_in_order(ask: Ask, index: FeatureIndex) -> None:
    with Scripted(index.fingerprint).running() as server:
        whole, parts = (ask([(USER, CONTEXT, ADS)], server.target, index, split=split)[0] for split in (None, 7))
        sizes = sorted(request.inputs["item_ids"].tensor_shape.dim[0].size for request in server.requests)
    np.testing.assert_array_equal(parts.scores, whole.scores)
    assert len(np.unique(whole.scores)) == 25
    assert sizes == [6, 6, 6, 7, 25]


def test_parts_are_sent_side_by_side(ask: Ask, index: FeatureIndex) -> None:
    together = threading.Barrier(4, timeout=20)  # Passed when four requests are there at once.
    with Scripted(index.fingerprint, lambda request, number: together.wait() and None).running() as server:
        ask([(USER, CONTEXT, ADS)], server.target, index, split=7, deadline=20)
    assert not together.broken


def test_an_answer_is_of_one_version_even_during_a_switch(ask: Ask, index: FeatureIndex) -> None:
    """The new version takes over between the parts: the parts that the old one answered are asked for again."""

    def script(request: object, number: int) -> int | None:
        return None if request.model_spec.version.value else 1 + (number >= 2)  # type: ignore[attr-defined]

    with Scripted(index.fingerprint, script).running() as server:
        (ranking,) = ask([(USER, CONTEXT, ADS)], server.target, index, split=7, deadline=20)
        pinned = [request.model_spec.version.value for request in server.requests]
    assert ranking.version == 2
    assert set(np.floor(ranking.scores)) == {2}
    assert sorted(pinned) == [0, 0, 0, 0, 2, 2]


def test_a_version_that_is_gone_again_is_not_waited_for(ask: Ask, index: FeatureIndex) -> None:
    """The newer version is unloaded before the other parts ask for it: all is asked again."""

    def script(request: object, number: int) -> int | None:
        if request.model_spec.version.value == 2:  # type: ignore[attr-defined]
            raise Refused(grpc.StatusCode.NOT_FOUND, "gone")
        return 2 if number == 0 else 1

    with Scripted(index.fingerprint, script).running() as server:
        (ranking,) = ask([(USER, CONTEXT, ADS)], server.target, index, split=13, deadline=20)
    assert ranking.version == 1
    assert set(np.floor(ranking.scores)) == {1}


def test_servers_that_never_agree_are_told(ask: Ask, index: FeatureIndex) -> None:
    def script(request: object, number: int) -> int | None:
        return 1 + number

    with (
        Scripted(index.fingerprint, script).running() as server,
        pytest.raises(ServingError, match=r"changed its version during each of 3 tries.*version="),
    ):
        ask([(USER, CONTEXT, ADS)], server.target, index, split=13, deadline=20)


def test_a_version_or_a_label_is_asked_for(ask: Ask, index: FeatureIndex) -> None:
    with Scripted(index.fingerprint).running() as server:
        (by_number,) = ask([(USER, CONTEXT, ADS)], server.target, index, version=7)
        ask([(USER, CONTEXT, ADS)], server.target, index, label="canary")
        number, label = (request.model_spec for request in server.requests)
    assert by_number.version == number.version.value == 7
    assert (label.WhichOneof("version_choice"), label.version_label) == ("version_label", "canary")
    with pytest.raises(RequestError, match="Got version 3 and label 'canary', expected one of them"):
        Client("127.0.0.1:1", index, version=3, label="canary")


def test_every_version_of_every_target_is_checked(ask: Ask, index: FeatureIndex, other_index: FeatureIndex) -> None:
    """The embedded server refuses ids of another index; TensorFlow Serving does not look, so the client must."""
    with (
        Scripted(index.fingerprint).running() as one,
        Scripted(other_index.fingerprint).running() as two,
        pytest.raises(
            IndexMismatchError, match=f"version 1 at {two.target} was trained with {other_index.fingerprint[:9]}"
        ),
    ):
        ask([(USER, CONTEXT, ADS)] * 4, [one.target, two.target], index, deadline=20)
