"""What a server can be told: frozen, checked when made, with units."""

from __future__ import annotations

import dataclasses
import json
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctrkit.errors import ConfigError, did_you_mean

QUEUE_PER_WORKER = 4  # Under overload a request then waits for about eight others; a stall of some 20 ms still fits.
LOOPBACK = ("localhost", "127.", "[::1]", "::1", "unix:")


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """Encryption of both ports; every file is in PEM form."""

    certificate: Path  # The server's, followed by those of intermediate authorities.
    key: Path  # Its private key.
    client_authority: Path | None = None  # With it only clients whose certificate it signed are let in (mutual TLS).

    def __post_init__(self) -> None:
        for name in ("certificate", "key", "client_authority"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))


@dataclass(frozen=True, kw_only=True)
class RestOptions:
    """The HTTP port: TensorFlow Serving's REST interface and the metrics."""

    port: int = 0  # 0: any free port.
    max_body_bytes: int = 64 << 20  # Per request, after decompression.
    timeout: float = 30.0  # Seconds that a request may take from its first byte to its answer.
    keep_alive: float = 60.0  # Seconds that a connection may be idle between two requests.
    max_connections: int = 256  # Beyond that, requests are refused with status 503.

    def __post_init__(self) -> None:
        _check_port("rest.port", self.port)
        _check_above("rest.timeout", self.timeout, 0, "seconds")
        _check_above("rest.keep_alive", self.keep_alive, 0, "seconds")
        _check_least("rest.max_body_bytes", self.max_body_bytes, 1024)
        _check_least("rest.max_connections", self.max_connections, 1)


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """How much a server takes on before it refuses."""

    max_queue: int | None = None  # Requests that may wait for a worker; None: four for each.
    max_message_bytes: int = 64 << 20  # Of a gRPC request; 10,000 candidates of 140 features take 6 MB.
    max_answer_bytes: int = 64 << 20  # Of a gRPC answer.
    receive_timeout: float = 10.0  # Seconds that a gRPC request may take to arrive.

    def __post_init__(self) -> None:
        if self.max_queue is not None:
            _check_least("limits.max_queue", self.max_queue, 0)
        _check_least("limits.max_message_bytes", self.max_message_bytes, 1024)
        _check_least("limits.max_answer_bytes", self.max_answer_bytes, 1024)
        _check_above("limits.receive_timeout", self.receive_timeout, 0, "seconds")


@dataclass(frozen=True, kw_only=True)
class ServingOptions:
    """Options of one embedded server."""

    name: str = "ctr"  # The model's name in requests (`model_spec.name`).
    version_policy: str = "latest"  # "latest", "latest:2", "all" or "specific:3,5".
    labels: Mapping[str, int] = field(default_factory=dict)  # E.g. {"stable": 3, "canary": 4}.
    model_config_file: Path | None = None  # Several models: TensorFlow Serving's models.config, in place of the above.
    same_index: bool = False  # Refuse a version made with another index than the one that is served.
    allow_unavailable_labels: bool = False  # Labels may point to versions that are not loaded.
    poll_every: float | None = 1.0  # Seconds between two looks for new versions; None: only those there at the start.
    host: str = "127.0.0.1"  # Address to listen at; "0.0.0.0" opens the server to the network.
    port: int = 0  # Of gRPC; 0: any free port.
    rest: RestOptions | None = None  # None: no HTTP port.
    tls: TlsOptions | None = None  # None: not encrypted.
    workers: int = 2  # Requests computed at once, each in one thread; about the number of cores.
    processes: int = 1  # Processes behind the one port, each with workers and models of its own.
    batching_parameters_file: Path | None = None  # TensorFlow Serving's text file; None: every request by itself.
    limits: LimitOptions = field(default_factory=LimitOptions)
    require_index: bool = True  # Refuse a SavedModel that does not carry the feature index it was trained with.
    warmup: bool = True  # Replay the model's warmup requests before it is announced as available.
    grace: float = 5.0  # Seconds that requests under way get to finish when the server stops.
    fleet: Path | None = None  # Shared by the processes behind one port; `Fleet` sets it, nobody else.

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("`name` is empty; a model needs one, e.g. `name: ctr`.")
        _check_port("port", self.port)
        _check_least("workers", self.workers, 1)
        _check_least("processes", self.processes, 1)
        if self.grace < 0:
            raise ConfigError(f"`grace` is {self.grace} seconds, expected 0 or more.")
        if self.poll_every is not None:
            _check_above("poll_every", self.poll_every, 0, "seconds, or null for never")
        if self.rest is not None and self.rest.port == self.port != 0:
            raise ConfigError(f"`rest.port` and `port` are both {self.port}; HTTP and gRPC need a port each.")
        for name in ("model_config_file", "batching_parameters_file", "fleet"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        object.__setattr__(self, "labels", dict(self.labels))

    @property
    def max_queue(self) -> int:
        """Requests that may wait for a worker."""
        given = self.limits.max_queue
        return QUEUE_PER_WORKER * self.workers if given is None else given

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach the server."""
        return not self.host.startswith(LOOPBACK)

    def to_json(self) -> str:
        """As text that `from_json` reads."""
        return json.dumps(dataclasses.asdict(self), default=os.fspath)

    @classmethod
    def from_json(cls, text: str) -> ServingOptions:
        """Read options; those left out keep their defaults. Raises `ConfigError` for an unknown one."""
        try:
            given = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"The options are not JSON: {error}.") from error
        found: ServingOptions = _build(cls, given, "")
        return found


def _build(cls: type, given: Any, prefix: str) -> Any:
    """A dataclass of options from a mapping, nested ones too."""
    hints = typing.get_type_hints(cls)
    if not isinstance(given, dict):
        raise ConfigError(f"`{prefix.rstrip('.')}` is {given!r}, expected its options by name.")
    for name in given:
        if name not in hints:
            raise ConfigError(f"There is no serving option `{prefix}{name}`.{did_you_mean(name, hints)}")
    values = {}
    for name, value in given.items():
        choices = typing.get_args(hints[name]) if isinstance(hints[name], types.UnionType) else (hints[name],)
        nested = next((choice for choice in choices if dataclasses.is_dataclass(choice)), None)
        values[name] = value if nested is None or value is None else _build(nested, value, f"{prefix}{name}.")  # type: ignore[arg-type]
    for one in dataclasses.fields(cls):
        if one.name not in values and one.default is one.default_factory is dataclasses.MISSING:
            raise ConfigError(f"`{prefix}{one.name}` is missing beside {', '.join(map(repr, values))}.")
    try:
        return cls(**values)
    except TypeError as error:  # A text where a number belongs.
        raise ConfigError(f"The options {given} do not fit: {error}.") from error


def _check_port(name: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise ConfigError(f"`{name}` is {port}, expected 0 (any free port) to 65535.")


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigError(f"`{name}` is {value}, expected at least {least}.")


def _check_above(name: str, value: float, bound: float, unit: str) -> None:
    if not value > bound:
        raise ConfigError(f"`{name}` is {value}, expected more than {bound} {unit}.")
