"""What a client does for each request, but for the waiting: threads and asyncio share it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctrkit.errors import ConfigError, IndexMismatchError, RequestError, ServingError
from ctrkit.indexing import FeatureIndex
from ctrkit.serving.client.ads import Ad
from ctrkit.serving.client.fetched_index import asking_fingerprint, fetching
from ctrkit.serving.client.ranker import Ranker, load_index
from ctrkit.serving.client.ranking import Ranking
from ctrkit.serving.client.template import RequestTemplate
from ctrkit.serving.connection.conversation import Conversation, Questions
from ctrkit.serving.connection.messages import PREDICT, Answer, Served, predict_answer
from ctrkit.serving.connection.problems import NotServedError

SCORES = "ctr"  # The output of a ctrkit model.
FINGERPRINT_KEY = "ctrkit-fingerprint"  # gRPC metadata; the embedded server checks it on every request.
ROUNDS = 3  # Times that a request is sent again because its parts met several versions, or one that went away.


class Known:
    """All that goes with one index; a request keeps to the one that it began with."""

    def __init__(self, ranker: Ranker, served: Served) -> None:
        index = ranker.index
        widths = {"user_ids": index.user_width, "item_ids": index.item_width}
        self.ranker = ranker
        self.templates = {
            "rank": RequestTemplate(served, "rank", widths, SCORES),
            "serving_default": RequestTemplate(served, "serving_default", {"ids": index.width}, SCORES),
        }
        self.metadata = ((FINGERPRINT_KEY, index.fingerprint),)
        self.checked: set[tuple[str, int]] = set()  # (target, version) whose index is this one.


class Asking:
    """A client's requests under the index that it knows."""

    def __init__(
        self,
        questions: Questions,
        index: FeatureIndex | str | os.PathLike[str] | None,
        ranker: Callable[[FeatureIndex], Ranker],
        *,
        split: int | None,
        index_cache: str | os.PathLike[str] | None,
    ) -> None:
        """See `Client`; `ranker` makes what turns values into ids under an index."""
        if split is not None and split < 1:
            raise ConfigError(f"`split` is {split} candidates, expected 1 or more, or None.")
        self.questions = questions
        self._ranker, self._split, self._cache = ranker, split, None if index_cache is None else Path(index_cache)
        self._fetches = index is None
        self._known: Known | None = None
        if index is not None:
            self._use(index if isinstance(index, FeatureIndex) else load_index(index))

    def _use(self, index: FeatureIndex) -> Known:
        ranker = self._ranker(index)
        if self._known is not None and (remembered := self._known.ranker.ads.remembered()):
            ranker.remember(remembered)
        self._known = known = Known(ranker, self.questions.served)
        return known

    def opening(self) -> Conversation[Known]:
        """What is known under the index, which is fetched for the first call."""
        return self._known or self._use((yield from fetching(self.questions, self._cache)))

    def ranking(
        self, user: Mapping[str, Any], context: Mapping[str, Any], ads: Sequence[Ad], deadline: float | None
    ) -> Conversation[Ranking]:
        """See `Client.ranking`."""
        began = time.monotonic()
        for is_last in (False, True):
            known = self._known or (yield from self.opening())
            user_ids, item_ids = known.ranker.ids(user, context, ads)
            try:
                return (yield from self._scoring(known, "rank", {"user_ids": user_ids}, item_ids, deadline, began))
            except IndexMismatchError:
                if is_last or not self._fetches:
                    raise
                self._use((yield from fetching(self.questions, self._cache)))  # A version with another index came.
        raise AssertionError

    def ranking_of_ids(
        self, user_ids: np.ndarray, item_ids: np.ndarray, deadline: float | None
    ) -> Conversation[Ranking]:
        """See `Client.rank_ids`."""
        began = time.monotonic()
        known = self._known or (yield from self.opening())
        same = {"user_ids": np.ascontiguousarray(user_ids, dtype=np.int32)}
        return (yield from self._scoring(known, "rank", same, item_ids, deadline, began))

    def predicting(self, ids: np.ndarray, deadline: float | None) -> Conversation[Ranking]:
        """See `Client.predict`."""
        began = time.monotonic()
        known = self._known or (yield from self.opening())
        return (yield from self._scoring(known, "serving_default", {}, known.ranker.checked(ids), deadline, began))

    def checking(
        self, known: Known | None = None, version: int | None = None, target: str | None = None
    ) -> Conversation[Answer]:
        """Compare the client's index with that of a served version. Raises `IndexMismatchError`."""
        known = known or self._known or (yield from self.opening())
        served, answer = yield from asking_fingerprint(self.questions, version, target)
        mine = known.ranker.index.fingerprint
        if served != mine:
            raise IndexMismatchError(
                f"The client has index {mine[:12]}, but model {self.questions.model!r} version {answer.version} at "
                f"{answer.target} was trained with {served[:12]}: ids would hit unrelated embeddings. Open the client "
                "with the served model's index: Client(target, index=PATH_OF_THE_EXPORT)."
            )
        known.checked.add((answer.target, answer.version))
        return answer

    # --- internals ----------------------------------------------------------------------------------------------

    def _scoring(
        self,
        known: Known,
        signature: str,
        same: dict[str, np.ndarray],
        rows: np.ndarray,
        deadline: float | None,
        began: float,
    ) -> Conversation[Ranking]:
        """Scores of `rows`, int32 `[n, width]`, which may be sent in parts; `same` goes with each part."""
        seconds = self.questions.deadline if deadline is None else deadline
        if not seconds > 0:
            raise RequestError(f"`deadline` is {seconds} seconds, expected more than 0.")
        if len(rows) == 0:
            return Ranking(np.empty(0, dtype=np.float32), 0, (), time.monotonic() - began)
        if not known.checked:
            yield from self.checking(known)
        name = "item_ids" if signature == "rank" else "ids"
        parts = [{**same, name: part} for part in self._parts(np.ascontiguousarray(rows, dtype=np.int32))]
        for _ in range(ROUNDS):
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                raise ServingError(
                    f"{self.questions.target}: no answer within {seconds:g} s. Allow more with `deadline=` (seconds)."
                )
            try:
                answers = yield from self._one_version(known, signature, parts, left)
            except NotServedError:
                if not known.checked or self.questions.served.is_chosen:
                    raise
                continue  # A version was unloaded between two questions.
            if len({answer.version for answer in answers}) == 1:
                scores = [_read(answer, len(part[name])) for answer, part in zip(answers, parts, strict=True)]
                return Ranking(
                    scores[0] if len(scores) == 1 else np.concatenate(scores),
                    answers[0].version,
                    tuple(dict.fromkeys(answer.target for answer in answers)),
                    time.monotonic() - began,
                )
        raise ServingError(
            f"Model {self.questions.model!r} at {self.questions.target} changed its version during each of {ROUNDS} "
            "tries of one request. Are its servers at different versions for long? Name one with version=."
        )

    def _one_version(
        self, known: Known, signature: str, parts: list[dict[str, np.ndarray]], seconds: float
    ) -> Conversation[list[Answer]]:
        """Answers to all parts; those of an older version than the newest are asked for again, of that version."""
        until = time.monotonic() + seconds
        answers = yield from self._asking(known, signature, parts, seconds)
        newest = max(answers, key=lambda answer: answer.version)
        older = [place for place, answer in enumerate(answers) if answer.version != newest.version]
        if older:
            again, left = [parts[place] for place in older], max(0.001, until - time.monotonic())
            found = yield from self._asking(known, signature, again, left, newest.version, newest.target)
            for place, answer in zip(older, found, strict=True):
                answers[place] = answer
        for target, version in {(answer.target, answer.version) for answer in answers} - known.checked:
            yield from self.checking(known, version, target)  # A version came: its index may be another one.
        return answers

    def _asking(
        self,
        known: Known,
        signature: str,
        parts: list[dict[str, np.ndarray]],
        seconds: float,
        version: int | None = None,
        target: str | None = None,
    ) -> Conversation[list[Answer]]:
        template, call = known.templates[signature], self.questions.call
        replies = yield [
            call(PREDICT, template.request(part, version), seconds, known.metadata, target) for part in parts
        ]
        return [predict_answer(reply.raw, reply.target) for reply in replies]

    def _parts(self, rows: np.ndarray) -> list[np.ndarray]:
        if self._split is None or len(rows) <= self._split:
            return [rows]
        return np.array_split(rows, -(-len(rows) // self._split))  # As equal as can be: the slowest part decides.


def _read(answer: Answer, count: int) -> np.ndarray:
    scores = answer.outputs.get(SCORES)
    if scores is None or scores.size != count:
        got = "no" if scores is None else scores.size
        raise ServingError(f"{answer.target} gave {got} scores for {count} candidates.")
    return scores.reshape(-1)
