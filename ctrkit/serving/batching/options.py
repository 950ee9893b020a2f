"""How requests are merged: TensorFlow Serving's batching parameters, frozen, checked, read from its text file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format

from ctrkit.errors import ConfigError
from ctrkit.serving.protos import deployment_pb2

_EXAMPLE = "max_batch_size { value: 256 } batch_timeout_micros { value: 1000 } num_batch_threads { value: 2 }"


@dataclass(frozen=True, kw_only=True)
class BatchingOptions:
    """Parameters and defaults of TensorFlow Serving.

    A request of more rows than `max_batch_size` is split; one that finds `max_enqueued_batches` waiting is refused.
    """

    max_batch_size: int = 1000  # Rows computed at once.
    batch_timeout_micros: int = 0  # How long a batch waits for more requests before it may be computed.
    max_enqueued_batches: int = 10  # Batches of one signature that may wait.
    num_batch_threads: int = os.cpu_count() or 1  # Batches computed at once, of one model.
    allowed_batch_sizes: tuple[int, ...] = ()  # A batch is padded up to the next of these; the last is the largest.
    pad_variable_length_inputs: bool = False  # Merge requests of other lengths, with zeros behind the shorter ones.

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed_batch_sizes", tuple(self.allowed_batch_sizes))
        for name, least in (
            ("max_batch_size", 1),
            ("batch_timeout_micros", 0),
            ("max_enqueued_batches", 1),
            ("num_batch_threads", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"`{name}` is {getattr(self, name)}, expected at least {least}.")
        sizes = self.allowed_batch_sizes
        if any(size < 1 for size in sizes) or list(sizes) != sorted(set(sizes)):
            raise ConfigError(f"`allowed_batch_sizes` is {list(sizes)}, expected sizes of 1 or more that rise.")
        if sizes and sizes[-1] != self.max_batch_size:
            raise ConfigError(
                f"The last of `allowed_batch_sizes` is {sizes[-1]}, expected `max_batch_size`, {self.max_batch_size}."
            )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> BatchingOptions:
        """Read a batching parameters file. Raises `ConfigError`."""
        message = deployment_pb2.DeploymentFiles.Batching()
        try:
            text_format.Parse(Path(path).read_text(encoding="utf-8"), message)
        except OSError as error:
            raise ConfigError(f"Cannot read the batching parameters: {error}.") from error
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}. Expected TensorFlow Serving's parameters, e.g. {_EXAMPLE}") from error
        numbers = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
        given = {name: getattr(message, name).value for name in numbers if message.HasField(name)}
        try:
            return cls(
                **given,
                allowed_batch_sizes=tuple(message.allowed_batch_sizes),
                pad_variable_length_inputs=message.pad_variable_length_inputs,
            )
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
