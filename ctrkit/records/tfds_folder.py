"""Find the TFRecord files of a data set that tensorflow-datasets wrote, from its dataset_info.json alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ctrkit.errors import LogError

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"
_TFRECORD = re.compile(r"\.tfrecords?(\.gz)?(-\d+-of-\d+)?\Z")
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"  # Where the info names none.


def is_tfds(folder: Path) -> bool:
    """Whether a folder is a data set of tensorflow-datasets, as `tfds.builder_from_directory` takes it."""
    return (folder / INFO_FILE).is_file() and (folder / FEATURES_FILE).is_file()


def is_tfrecord(path: Path) -> bool:
    """Whether a file's name says TFRecord.

    >>> is_tfrecord(Path("adult-train.tfrecord-00000-of-00001")), is_tfrecord(Path("tfrecord.csv"))
    (True, False)
    """
    return _TFRECORD.search(path.name) is not None


def tfds_shards(folder: Path) -> list[Path]:
    """The files of all splits, in the order in which the data set lists them.

    Raises `LogError` for another file format than TFRecord, and for a file that is not there.
    """
    path = folder / INFO_FILE
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        splits, kind = info["splits"], info.get("fileFormat") or "tfrecord"
        files = [file for split in splits for file in _files(folder, info, split)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{path} cannot be read as tensorflow-datasets writes it: {error!r}.") from error
    if kind != "tfrecord":
        raise LogError(
            f"{folder} holds files of format {kind!r}, which ctrkit does not read. Convert it: "
            f"tfds convert_format --dataset_dir={folder} --out_file_format=tfrecord --out_path=FOLDER"
        )
    for file in files:
        if not file.is_file():
            raise LogError(f"{file} is missing, but {path} lists it. Build the data set again.")
    return files


def _files(folder: Path, info: dict[str, object], split: dict[str, object]) -> list[Path]:
    template = str(split.get("filepathTemplate") or _TEMPLATE)
    lengths = split["shardLengths"]
    assert isinstance(lengths, list)
    number = len(lengths)
    names = []
    for shard in range(number):
        values = {
            "DATASET": info["name"],
            "SPLIT": split["name"],
            "FILEFORMAT": "tfrecord",
            "SHARD_INDEX": f"{shard:05d}",
            "NUM_SHARDS": f"{number:05d}",
            "SHARD_X_OF_Y": f"{shard:05d}-of-{number:05d}",
        }
        names.append(re.sub(r"\$?\{(\w+)\}", lambda found, values=values: str(values[found[1]]), template))  # type: ignore[misc]
    return [folder / name for name in names]
