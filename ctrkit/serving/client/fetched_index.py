"""Fetch a served model's feature index through its own signature, and keep it on disk by fingerprint."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ctrkit.atomic import atomic_directory
from ctrkit.errors import ArtifactError, IndexMismatchError, RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.connection.conversation import Conversation, Questions
from ctrkit.serving.connection.messages import PREDICT, Answer, predict_answer, predict_request
from ctrkit.serving.connection.problems import NotServedError
from ctrkit.serving.signatures import INDEX_SIGNATURE

SIDE_BY_SIDE = 4  # Parts under way at once; a part has some megabytes.
DEADLINE = 60.0  # Seconds for a part.


def cache_folder() -> Path:
    """Where fetched indexes are kept unless another folder is given: `~/.cache/ctrkit`, or below XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctrkit"


def asking_fingerprint(
    questions: Questions, version: int | None = None, target: str | None = None
) -> Conversation[tuple[str, Answer]]:
    """The fingerprint of the index that the served version was trained with. Raises `IndexMismatchError`."""
    try:
        answer = yield from questions.asking_predict("fingerprint", {}, ["fingerprint"], version=version, target=target)
        return answer.outputs["fingerprint"].ravel()[0].decode(), answer
    except (RequestError, KeyError) as error:
        first = error
    try:  # A server that batches requests refuses those without inputs; the contents tell the same.
        contents, answer = yield from _asking_contents(questions, version, target)
        return str(contents["fingerprint"]), answer
    except RequestError:
        raise IndexMismatchError(
            f"Model {questions.model!r} at {questions.target} does not tell the index it was trained with, so it was "
            f"not exported by ctrkit ({first}). Export it with `ctrkit export`."
        ) from first


def fetching(questions: Questions, folder: Path | None = None) -> Conversation[FeatureIndex]:
    """The served version's index, from `folder` where it is there already.

    Raises `ServingError` for a model that does not carry one, `ArtifactError` for bytes that are not what the contents
    say or for a disk that does not take them.
    """
    fingerprint, answer = yield from asking_fingerprint(questions)
    path = (cache_folder() if folder is None else folder) / "indexes" / fingerprint
    kept = _kept(path, fingerprint)
    if kept is not None:
        return kept
    try:
        contents, _ = yield from _asking_contents(questions, answer.version, answer.target)
    except RequestError as error:
        raise ServingError(
            f"Model {questions.model!r} at {questions.target} does not carry its feature index ({error}). Name it: "
            "Client(target, index=PATH_OF_THE_EXPORT)."
        ) from error
    try:
        with atomic_directory(path) as temporary:
            part = 1
            for file in contents["files"]:
                part = yield from _fetching_file(questions, file, contents, part, temporary, answer)
    except OSError as error:
        raise ArtifactError(
            f"Cannot keep the index of model {questions.model!r} at {path}: {error.strerror}. Name another folder with "
            "index_cache=FOLDER."
        ) from error
    fetched = _kept(path, fingerprint)
    if fetched is None:
        raise ArtifactError(f"The index fetched from {answer.target} is not the one with fingerprint {fingerprint}.")
    return fetched


def _kept(path: Path, fingerprint: str) -> FeatureIndex | None:
    if not path.is_dir():
        return None
    try:
        index = FeatureIndex.load(path, verify=False)  # Every byte was compared when it was fetched.
    except ArtifactError:
        return None
    return index if index.fingerprint == fingerprint else None


def _asking_contents(
    questions: Questions, version: int | None, target: str | None
) -> Conversation[tuple[dict[str, Any], Answer]]:
    answer = yield from questions.asking_predict(
        INDEX_SIGNATURE, {"part": np.zeros(1, np.int64)}, ["bytes"], version=version, target=target
    )
    try:
        contents = json.loads(answer.outputs["bytes"].ravel()[0])
        files = [(PurePosixPath(file["path"]), int(file["bytes"]), str(file["sha256"])) for file in contents["files"]]
        is_sound = int(contents["part_bytes"]) > 0 and str(contents["fingerprint"]).isalnum()
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise RequestError(f"signature {INDEX_SIGNATURE!r} gives no contents ({error})") from error
    if not is_sound or any(path.is_absolute() or ".." in path.parts for path, _, _ in files):
        raise RequestError(f"signature {INDEX_SIGNATURE!r} gives contents with a path outside of the index")
    return contents, answer


def _fetching_file(
    questions: Questions, file: dict[str, Any], contents: dict[str, Any], part: int, folder: Path, at: Answer
) -> Conversation[int]:
    """Write one file, whose bytes begin with `part`, and return the part after it."""
    path, last = folder / file["path"], part + -(-int(file["bytes"]) // int(contents["part_bytes"]))
    path.parent.mkdir(parents=True, exist_ok=True)
    sha = hashlib.sha256()
    with open(path, "wb") as written:
        while part < last:
            several = range(part, min(last, part + SIDE_BY_SIDE))
            requests = [
                predict_request(questions.served, INDEX_SIGNATURE, {"part": np.array([one])}, ["bytes"], at.version)
                for one in several
            ]
            try:
                replies = yield [questions.call(PREDICT, request, DEADLINE, (), at.target) for request in requests]
            except NotServedError as error:
                raise ServingError(
                    f"Version {at.version} of model {questions.model!r} was unloaded while its index was fetched "
                    f"({error}). Ask again."
                ) from error
            for reply in replies:
                piece = predict_answer(reply.raw, reply.target).outputs["bytes"].ravel()[0]
                sha.update(piece)
                written.write(piece)
            part = several.stop
    if sha.hexdigest() != file["sha256"]:
        raise ArtifactError(
            f"File {file['path']} of the index fetched from {at.target} is not what its contents say "
            f"(SHA-256 {sha.hexdigest()[:12]}, expected {str(file['sha256'])[:12]}). Export the model again."
        )
    return part
