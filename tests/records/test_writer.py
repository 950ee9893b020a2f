"""Writing: the same bytes for the same rows, whole or not at all, and errors that teach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import ArtifactError, ConfigError, LogError, ShapeError
from ctrkit.records import Manifest, Records, RecordWriter, WriterOptions
from ctrkit.records.disk import disk_errors
from tests.records.record_samples import FINGERPRINT, numbered_rows, write_numbered


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_same_rows_give_the_same_bytes_however_they_are_cut_into_chunks(tmp_path: Path, shuffle: bool) -> None:
    one = content(write_numbered(tmp_path / "one", 333, chunk=333, shuffle=shuffle).directory)
    many = content(write_numbered(tmp_path / "many", 333, chunk=7, shuffle=shuffle).directory)
    assert one == many
    assert set(one) == {"manifest.json", *(f"shard-{i:05d}-of-00006.tfrecord" for i in range(6))}


def test_unshuffled_rows_keep_their_order(tmp_path: Path) -> None:
    read = write_numbered(tmp_path / "records", 333, chunk=50, shuffle=False).arrays()
    expected = numbered_rows(333)
    np.testing.assert_array_equal(read["ids"], expected["ids"])
    np.testing.assert_array_equal(read["label"][:, 0], expected["label"])
    np.testing.assert_array_equal(read["weight"][:, 0], expected["weight"])
    np.testing.assert_array_equal(read["group"], expected["group"])


def test_shuffled_rows_stay_whole_and_leave_their_order(tmp_path: Path) -> None:
    read = write_numbered(tmp_path / "records", 333, seed=1).arrays()
    number = read["ids"][:, 0]
    assert sorted(number.tolist()) == list(range(333))
    assert abs(np.corrcoef(number, np.arange(333))[0, 1]) < 0.2
    np.testing.assert_array_equal(read["group"], numbered_rows(333)["group"][number])


def test_how_many_rows_left_the_shuffle_is_told(tmp_path: Path) -> None:
    told: list[int] = []
    rows = numbered_rows(333)
    with RecordWriter(tmp_path / "records", fingerprint=FINGERPRINT, width=3) as writer:
        writer.write(rows["ids"], rows["label"])
        writer.on_shuffled = told.append
    assert sum(told) == writer.manifest.rows == 333


def test_the_manifest_counts_rows_labels_and_bytes(tmp_path: Path) -> None:
    manifest = write_numbered(tmp_path / "records", 333).manifest
    assert (manifest.rows, manifest.fingerprint, manifest.width) == (333, FINGERPRINT, 3)
    assert manifest.label_rate == pytest.approx(111 / 333)
    assert [shard.rows for shard in manifest.shards] == [64] * 5 + [13]
    assert manifest.bytes == sum(path.stat().st_size for path in (tmp_path / "records").glob("*.tfrecord"))
    manifest.verify_checksums()


def test_no_rows_make_records_without_rows(tmp_path: Path) -> None:
    records = write_numbered(tmp_path / "records", 0)
    assert (records.rows, np.isnan(records.label_rate), len(records.arrays()["ids"])) == (0, True, 0)


def test_several_labels_stay_apart(tmp_path: Path) -> None:
    label = np.array([[0, 1], [1, 1], [0, 0]], dtype=np.float32)
    with RecordWriter(
        tmp_path / "records", fingerprint="f", width=1, labels=2, options=WriterOptions(shuffle=False)
    ) as writer:
        writer.write(np.zeros((3, 1), dtype=np.int32), label)
    np.testing.assert_array_equal(Records.open(tmp_path / "records").arrays()["label"], label)
    assert writer.manifest.label_sums == (1.0, 2.0)


IDS, LABEL = np.zeros((4, 3), dtype=np.int32), np.zeros(4, dtype=np.float32)


def changed(array: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((IDS[:, :2], LABEL), ShapeError, r"ids: got int32 \[4, 2\], expected int32 \[rows, 3\]"),
        ((IDS.astype(np.float32), LABEL), ShapeError, r"ids: got float32 \[4, 3\]"),
        ((changed(IDS, (2, 1), -1), LABEL), ShapeError, r"ids: got -1 in row 2, column 1, expected a number in \[0, "),
        ((changed(IDS.astype(np.int64), (3, 0), 2**31), LABEL), ShapeError, r"ids: got 2147483648 in row 3, column 0"),
        ((changed(IDS.astype(np.uint32), (3, 0), 2**31), LABEL), ShapeError, r"ids: got 2147483648 in row 3, column 0"),
        ((IDS, LABEL[:3]), ShapeError, r"label: got \[3\], expected \[4, 1\]"),
        ((IDS, changed(LABEL, (1,), np.nan)), LogError, r"label: got \[nan\] in row 1, expected finite"),
        ((IDS, LABEL, LABEL), ShapeError, r"weight: got an array, but the writer was made with has_weight=False"),
        ((IDS, LABEL, None, IDS[:, 0]), ShapeError, r"group: got an array.*has_group=True"),
    ],
)
def test_wrong_rows_are_refused(tmp_path: Path, arguments: Any, error: type[Exception], text: str) -> None:
    with (
        pytest.raises(error, match=text),
        RecordWriter(tmp_path / "records", fingerprint="f", width=3) as writer,
    ):
        writer.write(*arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("weight", "group", "error", "text"),
    [
        (None, IDS[:, 0], ShapeError, r"weight: got None, but .*has_weight=True"),
        (changed(LABEL, (2,), -0.5), IDS[:, 0], LogError, r"weight: got -0.5 in row 2, expected 0 or more"),
        (changed(LABEL, (0,), np.inf), IDS[:, 0], LogError, r"weight: got \[inf\] in row 0"),
        (LABEL, LABEL, ShapeError, r"group: got float32 \[4\], expected int64 \[4\].*hash64"),
    ],
)
def test_wrong_weights_and_groups_are_refused(
    tmp_path: Path, weight: Any, group: Any, error: type[Exception], text: str
) -> None:
    with (
        pytest.raises(error, match=text),
        RecordWriter(tmp_path / "records", fingerprint="f", width=3, has_weight=True, has_group=True) as writer,
    ):
        writer.write(IDS, LABEL, weight, group)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"block_rows": 0}, r"block_rows: got 0, expected a whole number of at least 1"),
        ({"block_rows": 100, "shard_rows": 250}, r"shard_rows: got 250, expected a multiple .*shard_rows=200"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        WriterOptions(**options)


def test_an_exception_leaves_the_former_records_as_they_were(tmp_path: Path) -> None:
    before = content(write_numbered(tmp_path / "records", 50).directory)
    many = np.zeros((500_000, 3), dtype=np.int32)  # Enough to reach the disk.

    def write_until_it_fails() -> None:
        with RecordWriter(tmp_path / "records", fingerprint="g", width=3, options=WriterOptions(memory=1)) as writer:
            writer.write(many, np.zeros(len(many)))
            writer.write(many, np.full(len(many), np.nan))

    with pytest.raises(LogError):
        write_until_it_fails()
    assert content(tmp_path / "records") == before
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_new_records_replace_the_former(tmp_path: Path) -> None:
    write_numbered(tmp_path / "records", 500)
    assert write_numbered(tmp_path / "records", 50).rows == 50
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_writing_outside_the_with_block_is_refused(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "records", fingerprint="f", width=3)
    with pytest.raises(ArtifactError, match="inside its `with` block"):
        writer.write(IDS, LABEL)


WRITE_A_LOT = """
    import resource, signal, sys
    import numpy as np
    from ctrkit.errors import ArtifactError
    from ctrkit.records import RecordWriter, WriterOptions

    path, limit, shuffle = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "True"
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    options = WriterOptions(shuffle=shuffle, memory=1)
    try:
        with RecordWriter(path, fingerprint="f", width=3, options=options) as writer:
            for chunk in range(10**9 if limit < 0 else 20):
                writer.write(np.full((50_000, 3), chunk, dtype=np.int32), np.zeros(50_000))
                print("chunk", flush=True)
    except ArtifactError as error:
        print(error)
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(WRITE_A_LOT), *map(str, arguments)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_file_size_limit_is_explained_and_leaves_nothing(tmp_path: Path, shuffle: bool) -> None:
    done = subprocess.run(command(tmp_path / "records", 200_000, shuffle), capture_output=True, text=True, check=True)
    assert f"The disk is full, or a quota or file size limit was met, while writing {tmp_path}/records" in done.stdout
    assert "MB free there). Nothing was left behind. Free some space" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_explained() -> None:
    with pytest.raises(ArtifactError, match=r"The disk is full.*No space left on device"), disk_errors("/dev/full"):
        os.write(os.open("/dev/full", os.O_WRONLY), b"x")


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ArtifactError, match=r"Cannot write .*records: .*Check the path"),
        RecordWriter(tmp_path / "file" / "records", fingerprint="f", width=3),
    ):
        pass


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_kill_leaves_nothing_that_opens_and_the_next_writer_clears_up(tmp_path: Path, shuffle: bool) -> None:
    target = tmp_path / "records"
    with subprocess.Popen(command(target, -1, shuffle), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(6):
            assert process.stdout.readline() == b"chunk\n"
        process.send_signal(signal.SIGKILL)
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    assert any(left[0].rglob("*")), "the kill came before anything was on disk"
    for directory in (target, *left):
        with pytest.raises(ArtifactError, match=r"No records at .*ctrkit prepare"):
            Manifest.load(directory)
    write_numbered(target, 10)
    assert list(tmp_path.iterdir()) == [target]
