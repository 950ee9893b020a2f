"""The one family of exceptions: each message says what was got, what was expected and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CtrkitError(Exception):
    """Base of every error that ctrkit raises on purpose; the command line prints it without a traceback."""


class SchemaError(CtrkitError, ValueError):
    """A schema that cannot mean anything: unknown kind, missing column, contradicting options."""


class LogError(CtrkitError, ValueError):
    """A raw log that does not fit its schema: missing column, empty file, bad label, bad encoding."""


class ConfigError(CtrkitError, ValueError):
    """An option or a configuration that cannot be used."""


class EngineError(CtrkitError, RuntimeError):
    """A data engine that could not be started, or whose workers failed."""


class ArtifactError(CtrkitError):
    """Something that an earlier step should have written is absent, stale or half-written."""


class IndexMismatchError(ArtifactError):
    """Two artifacts that were made with different feature indexes met."""


class CorruptRecordsError(ArtifactError):
    """A record shard is truncated or its bytes are not those that were written."""


class ShapeError(CtrkitError, ValueError):
    """A tensor of a shape or type that a layer, a signature or a server cannot take."""


class TrainingError(CtrkitError, RuntimeError):
    """Training could not go on."""


class SweepError(CtrkitError, RuntimeError):
    """Some jobs of a sweep failed."""


class NanLossError(TrainingError):
    """The loss stopped being a number; the message names the batch."""


class ExportError(CtrkitError, RuntimeError):
    """A model that cannot be frozen into a servable SavedModel."""


class ParityError(ExportError):
    """The same rows got different scores on two paths."""


class RequestError(CtrkitError, ValueError):
    """A scoring request that the client or the server refuses, with the field named."""


class ServingError(CtrkitError, RuntimeError):
    """A server that could not load, start or answer."""


class ReproductionError(CtrkitError):
    """A run that was trained again came to other numbers."""


class TrackingError(CtrkitError, RuntimeError):
    """The tracking store could not be used."""


class RegistryError(TrackingError):
    """A registered model, a version or an alias of it that is not there, or not whole."""


class PromotionError(CtrkitError, RuntimeError):
    """A model that did not pass the gates of its promotion; the message says which and how far it is off."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` may be a slip of; None where none is near.

    >>> nearest("categorcial", ["categorical", "numeric"])
    'categorical'
    """
    near = difflib.get_close_matches(str(word), sorted(map(str, choices)), n=1)
    return near[0] if near else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `" Did you mean 'x'?"` for the nearest of `choices`, or the list of them when none is near.

    >>> did_you_mean("categorcial", ["categorical", "numeric"])
    " Did you mean 'categorical'?"
    >>> did_you_mean("zzz", ["b", "a"])
    " Valid: 'a', 'b'."
    """
    ordered = sorted(map(str, choices))
    near = nearest(word, ordered)
    if near is not None:
        return f" Did you mean {near!r}?"
    shown = ", ".join(map(repr, ordered[:20])) + (", …" if len(ordered) > 20 else "")
    return f" Valid: {shown}." if ordered else ""
