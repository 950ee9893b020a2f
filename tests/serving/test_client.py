"""Raw values to ranked scores; every way in which a client can be wrong gets a text that helps."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, IndexMismatchError, RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving import Client, Server

USER = {"user_id": "u3", "history": ["a1", "a2"]}
CONTEXT = {"hour": 13}
ADS = [{"ad_id": f"a{i}", "cpc": 0.1 * i} for i in range(9)] + [{"ad_id": "never seen"}, {}]


@pytest.fixture
def client(server: Server, index: FeatureIndex):  # type: ignore[no-untyped-def]
    with Client(server.target, index=index, deadline=20) as opened:
        yield opened


def test_rank_scores_raw_values_as_the_model_scores_whole_rows(client, index, model) -> None:  # type: ignore[no-untyped-def]
    scores = client.rank(USER, CONTEXT, ADS)
    whole = index.ids([{**USER, **CONTEXT, **ad} for ad in ADS])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, model.predict(whole, verbose=0)[:, 0], atol=1e-6)
    assert len(np.unique(scores)) > 5


def test_predict_scores_ids(client, index, model) -> None:  # type: ignore[no-untyped-def]
    ids = index.ids([{**USER, **CONTEXT, **ad} for ad in ADS])
    np.testing.assert_allclose(client.predict(ids), model.predict(ids, verbose=0)[:, 0], atol=1e-6)
    assert client.predict(ids[:1]).shape == (1,)


def test_no_ads_give_no_scores(client: Client, index: FeatureIndex) -> None:
    assert client.rank(USER, CONTEXT, []).shape == (0,)
    assert client.predict(np.zeros((0, index.width), np.int32)).shape == (0,)


def test_the_index_is_found_inside_the_saved_model(server: Server, export: Path, client: Client) -> None:
    expected = client.rank(USER, CONTEXT, ADS)
    for path in (export, export.parent, export / "assets" / "feature_index"):
        with Client(server.target, index=path, deadline=20) as other:
            np.testing.assert_array_equal(other.rank(USER, CONTEXT, ADS), expected)


def test_a_saved_model_without_an_index_is_refused(strings: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"has no feature index .assets/feature_index.*`ctrkit export`"):
        Client("127.0.0.1:1", index=strings)
    with pytest.raises(ArtifactError, match="No feature index and no SavedModel at"):
        Client("127.0.0.1:1", index=tmp_path)


def test_a_client_with_another_index_is_refused_before_it_scores(server: Server, other_index: FeatureIndex) -> None:
    with (
        Client(server.target, index=other_index, deadline=20) as client,
        pytest.raises(IndexMismatchError, match=rf"client has index {other_index.fingerprint[:12]}.* version 1 at"),
    ):
        client.rank(USER, CONTEXT, ADS)


def test_a_model_that_tells_no_fingerprint_is_refused(strings_server: Server, index: FeatureIndex) -> None:
    client = Client(strings_server.target, index=index, model="words", deadline=20)
    with (
        client,
        pytest.raises(IndexMismatchError, match=r"does not tell the index it was trained with.*Export it with"),
    ):
        client.rank(USER, CONTEXT, ADS)


def test_a_misspelt_column_is_refused(client: Client) -> None:
    with pytest.raises(RequestError, match=r"`user`: 'usr_id' is no column.*Did you mean 'user_id'\?.*strict=False"):
        client.rank({"usr_id": "u3"}, CONTEXT, ADS)
    with pytest.raises(RequestError, match=r"`ads`: 'adid' is no column.*'ad_id'"):
        client.rank(USER, CONTEXT, [{"adid": 3}])


def test_extra_columns_are_ignored_when_asked(server: Server, index: FeatureIndex, client: Client) -> None:
    with Client(server.target, index=index, deadline=20, strict=False) as lenient:
        scores = lenient.rank({**USER, "email": "x"}, CONTEXT, [{**ad, "title": "t"} for ad in ADS])
    np.testing.assert_array_equal(scores, client.rank(USER, CONTEXT, ADS))


@pytest.mark.parametrize(
    ("user", "ads", "text"),
    [
        ({"user_id": b"\xff\xfe"}, ADS, r"'user_id'.*UTF-8"),
        (USER, [{"ad_id": "a1", "cpc": "cheap"}], "'price': got 'cheap', expected a number"),
        (USER, [{"ad_id": {"id": 3}}], "'ad_id': got dict"),
        ("u3", ADS, "`user` holds str 'u3', expected a mapping"),
        ({**USER, "hour": 3}, ADS, "'hour' is 3 in `user` and 13 in `context`"),
    ],
)
def test_a_bad_value_is_refused_with_its_field(client, user, ads, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RequestError, match=text):
        client.rank(user, CONTEXT, ads)


def test_bad_ids_never_leave_the_client(index: FeatureIndex) -> None:
    client = Client("127.0.0.1:1", index=index)  # Nobody listens there: what is refused is refused here.
    with pytest.raises(RequestError, match=rf"`ids` is int32 \[2, 3\], expected int32 \[n, {index.width}\]"):
        client.predict(np.zeros((2, 3), np.int32))
    ids = np.zeros((2, index.width), np.int64)
    ids[1, index["price"].start] = 5
    with pytest.raises(RequestError, match="row 1: field 'price' got id 5, expected 0 to 4"):
        client.predict(ids)
    with pytest.raises(RequestError, match="float32"):
        client.predict(np.zeros((2, index.width), np.float32))


def test_nobody_there_says_what_was_tried_and_what_to_type(index: FeatureIndex) -> None:
    with (
        Client("127.0.0.1:1", index=index) as client,
        pytest.raises(ServingError, match=r"No server answers at 127\.0\.0\.1:1 .*refused.*`ctrkit serve`.*--port 1`"),
    ):
        client.rank(USER, CONTEXT, ADS)


def test_an_unknown_model_lists_those_served(server: Server, index: FeatureIndex) -> None:
    client = Client(server.target, index=index, model="crt", deadline=20)
    with client, pytest.raises(ServingError, match=r"answered NOT_FOUND: .*crt.*'ctr'"):
        client.rank(USER, CONTEXT, ADS)


def test_a_deadline_that_passes_is_told(client: Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes connections and never says a word.
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(target, index=client.index, deadline=0.2) as waiting:
            with pytest.raises(ServingError, match=rf"{target} did not answer within 0\.2 s.*`deadline=`"):
                waiting.rank(USER, CONTEXT, ADS)
            with pytest.raises(ServingError, match=r"did not answer within 0\.1 s"):
                waiting.connection.status(deadline=0.1)
    with pytest.raises(RequestError, match="`deadline` is 0 seconds"):
        Client("127.0.0.1:1", index=client.index, deadline=0)


def test_a_new_version_with_another_index_is_noticed(export: Path, index, other_index, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The server is replaced behind the same address by one whose model was trained on another log."""
    from ctrkit.export import ExportOptions, export_model
    from ctrkit.models import wide_deep

    other = wide_deep(other_index, dim=2, hidden=(4,))
    path = export_model(other, other_index, tmp_path, options=ExportOptions(buckets=(1,)), version=2)
    with Server(export) as first:
        port = int(first.target.rpartition(":")[2])
        client = Client(first.target, index=index, deadline=20)
        client.rank(USER, CONTEXT, ADS)
    with client, Server(path, port=port):
        client.wait_until_available(20)
        with pytest.raises(IndexMismatchError, match=index.fingerprint[:12]):
            client.rank(USER, CONTEXT, ADS)


def test_many_threads_share_a_client(client: Client) -> None:
    from concurrent.futures import ThreadPoolExecutor

    expected = [client.rank({"user_id": f"u{i}"}, CONTEXT, ADS) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for i, scores in enumerate(pool.map(lambda i: client.rank({"user_id": f"u{i % 8}"}, CONTEXT, ADS), range(80))):
            np.testing.assert_array_equal(scores, expected[i % 8])


HEAVY = ("tensorflow", "keras", "mlflow", "hydra", "polars", "pandas", "pyarrow", "yaml")


def measured(statements: str, *, absent: tuple[str, ...], before: str = "") -> tuple[float, float]:
    """Seconds of CPU that statements take in a new interpreter, and megabytes resident then, without some modules."""
    script = (
        f"import sys, time\n{before}\nstart = time.process_time()\n{statements}\n"
        "seconds = time.process_time() - start\n"
        "resident = next(line for line in open('/proc/self/status') if line.startswith('VmRSS')).split()[1]\n"
        f"print(seconds, int(resident) / 1024, sorted({set(absent)!r} & sys.modules.keys()))"
    )
    found = []
    for _ in range(3):  # The first writes .pyc files and warms the disk's cache.
        seconds, megabytes, there = subprocess.check_output([sys.executable, "-c", script], text=True).split(" ", 2)
        assert there.strip() == "[]"
        found.append((float(seconds), float(megabytes)))
    return min(found)


def test_importing_the_client_is_light() -> None:
    """Numpy, gRPC and Protobuf wait for a client to be opened."""
    statement = "from ctrkit.serving.client import AsyncClient, Client"
    seconds, megabytes = measured(statement, absent=(*HEAVY, "numpy", "grpc", "google.protobuf"))
    assert seconds < 0.15  # .02 measured.
    assert megabytes < 60  # 14 measured.


def test_opening_a_client_is_light() -> None:
    seconds, megabytes = measured(
        "from ctrkit.serving.client import AsyncClient, Client\nClient('127.0.0.1:1'), AsyncClient('127.0.0.1:1')",
        absent=HEAVY,
        before="import numpy, grpc",
    )
    assert seconds < 0.15  # Of CPU beyond numpy's and gRPC's own; all three take about .25 on a quiet machine.
    assert megabytes < 60  # 52 measured.
