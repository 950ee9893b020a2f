"""The engine for a cluster passes the contracts; `test_spark` compares it with the local engine in more detail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ctrkit.records.engine import Engine
from tests.records.engine_contract import EngineContract
from tests.records.spark_session import InChunks, session
from tests.records.test_prepare_extend import ExtendContract

pytestmark = [pytest.mark.slow, pytest.mark.turn(3), pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def spark() -> Iterator[None]:
    yield from session()


class TestSpark(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return InChunks(10_000, broadcast_values=100)


class TestSparkExtends(ExtendContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return InChunks(10_000)
