"""Which models to serve, as TensorFlow Serving's `models.config` says it: frozen, checked, read and written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from ctrkit.atomic import atomic_file
from ctrkit.errors import ConfigError, did_you_mean
from ctrkit.serving.protos import model_server_config_pb2 as wire

PLATFORM = "tensorflow"  # The one `model_platform` that is served, here and in most TensorFlow Servings.
LARGEST_VERSION = 2**63 - 1
_EXAMPLE = 'model_config_list { config { name: "ctr" base_path: "/models/ctr" model_platform: "tensorflow" } }'
_CUSTOM = (
    "`custom_model_config` needs a server with a loader of its own, which this one has not. List the models:\n"
    + _EXAMPLE
)


@dataclass(frozen=True)
class Latest:
    """The versions with the highest numbers; TensorFlow Serving's default, with one."""

    num_versions: int = 1

    def __post_init__(self) -> None:
        if self.num_versions < 1:
            raise ConfigError(f"`latest` asks for {self.num_versions} versions, expected at least 1.")


@dataclass(frozen=True)
class All:
    """Every version in the folder."""


@dataclass(frozen=True)
class Specific:
    """The versions named, and no other: a rollback, or a canary beside the stable one."""

    versions: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "versions", tuple(sorted(set(self.versions))))
        if not self.versions:
            raise ConfigError("`specific` names no version. Name them, e.g. `specific { versions: 3 }`.")
        if not all(0 <= version <= LARGEST_VERSION for version in self.versions):
            raise ConfigError(f"`specific` names versions {list(self.versions)}, expected numbers of 0 or more.")


Policy = Latest | All | Specific


@dataclass(frozen=True)
class ModelConfig:
    """One model: the name that requests give, its folder of versions, which of them to serve, and their labels."""

    name: str
    base_path: Path  # Holds 1/, 2/, …; made absolute.
    policy: Policy = Latest()
    labels: Mapping[str, int] = field(default_factory=dict)  # E.g. {"stable": 3, "canary": 4}.
    logging: str = ""  # `logging_config` as text: kept for the file's other readers; requests are not logged here.

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_path", Path(os.path.abspath(self.base_path)))
        object.__setattr__(self, "labels", dict(sorted(self.labels.items())))
        if not self.name:
            raise ConfigError("A model has no `name`; requests need one, e.g. `name: ctr`.")
        for label, version in self.labels.items():
            if not label or not 0 <= version <= LARGEST_VERSION:
                raise ConfigError(
                    f"Model {self.name!r}: label {label!r} points to version {version}, expected a name and a number "
                    "of 0 or more."
                )

    @property
    def policy_text(self) -> str:
        """The policy as options say it: "latest:2", "all" or "specific:3,5"."""
        if isinstance(self.policy, Latest):
            return f"latest:{self.policy.num_versions}"
        return "all" if isinstance(self.policy, All) else f"specific:{','.join(map(str, self.policy.versions))}"


@dataclass(frozen=True)
class ModelsConfig:
    """All models of one server."""

    models: tuple[ModelConfig, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"Illegal to list model {name} multiple times in config list. Name each one once.")

    @classmethod
    def of_one(cls, name: str, base_path: str | os.PathLike[str]) -> ModelsConfig:
        """The latest version of one model."""
        return cls((ModelConfig(name, Path(base_path)),))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelsConfig:
        """Read a `models.config` file. Raises `ConfigError` with the line of what is wrong."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"Cannot read {os.fspath(path)}: {error}. Expected a text like\n{_EXAMPLE}") from error
        return cls.parse(text, os.fspath(path))

    @classmethod
    def parse(cls, text: str, source: str = "models.config") -> ModelsConfig:
        """Read the text of a `models.config`; `source` is named in errors. Raises `ConfigError`."""
        message = wire.ModelServerConfig()
        try:
            text_format.Parse(text, message)
        except text_format.ParseError as error:
            raise ConfigError(_syntax(str(error), source)) from None
        try:
            return cls.of_message(message)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None

    @classmethod
    def of_message(cls, message: Any) -> ModelsConfig:
        """Read a `ModelServerConfig` message (ours). Raises `ConfigError`."""
        kind = message.WhichOneof("config")
        if kind == "custom_model_config":
            raise ConfigError(_CUSTOM)
        if kind is None:
            raise ConfigError(f"It lists no models. Expected e.g.\n{_EXAMPLE}")
        return cls(tuple(_model(config) for config in message.model_config_list.config))

    def message(self) -> Any:
        """The `ModelServerConfig` message, ours."""
        message = wire.ModelServerConfig()
        message.model_config_list.SetInParent()
        for model in self.models:
            config = message.model_config_list.config.add(
                name=model.name, base_path=os.fspath(model.base_path), model_platform=PLATFORM
            )
            policy = config.model_version_policy
            if isinstance(model.policy, Latest):
                policy.latest.num_versions = model.policy.num_versions
            elif isinstance(model.policy, All):
                policy.all.SetInParent()
            else:
                policy.specific.versions.extend(model.policy.versions)
            config.version_labels.update(model.labels)
            if model.logging:
                text_format.Parse(model.logging, config.logging_config)
        return message

    def text(self) -> str:
        """The text of a `models.config` file, which TensorFlow Serving reads too."""
        return text_format.MessageToString(self.message(), as_utf8=True)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a `models.config` file, whole or not at all."""
        with atomic_file(path) as file:
            file.write_text(self.text(), encoding="utf-8")


def _model(config: Any) -> ModelConfig:
    of = f"Model {config.name!r}: " if config.name else ""
    if config.model_type and config.model_platform:
        raise ConfigError(
            f"{of}Illegal setting both model_type(deprecated) and model_platform. Leave `model_type` out."
        )
    platform = config.model_platform or (PLATFORM if config.model_type == wire.TENSORFLOW else "")
    if platform != PLATFORM:
        got = f"`model_platform` is {platform!r}" if platform else "`model_platform` is missing"
        raise ConfigError(f'{of}{got}, expected `model_platform: "{PLATFORM}"`.')
    if not config.base_path.startswith("/"):
        raise ConfigError(
            f"Expected model {config.name} to have an absolute path or URI; got base_path()={config.base_path}. "
            'Write the whole path, e.g. `base_path: "/models/ctr"`.'
        )
    return ModelConfig(
        name=config.name,
        base_path=Path(config.base_path),
        policy=_policy(config.model_version_policy, of),
        labels=dict(config.version_labels),
        logging=text_format.MessageToString(config.logging_config) if config.HasField("logging_config") else "",
    )


def _policy(policy: Any, of: str) -> Policy:
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return All()
    if kind == "specific":
        try:
            return Specific(tuple(policy.specific.versions))
        except ConfigError as error:
            raise ConfigError(f"{of}{error}") from None
    return Latest(max(policy.latest.num_versions, 1))  # TensorFlow Serving takes 0 for 1.


def _syntax(message: str, source: str) -> str:
    """Protobuf's message about a text, with its place in front and the nearest field's name behind."""
    if "descriptor pool" in message:  # An Any of a type that is not known; nothing else in this file holds one.
        return f"{source}: {_CUSTOM}"
    place = re.match(r"(\d+):(\d+) : (.*)", message, re.DOTALL)
    line, what = (f", line {place[1]}", place[3]) if place else ("", message)
    unknown = re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', what)
    if unknown is None:
        return f"{source}{line}: {what}"
    descriptor = wire.DESCRIPTOR.pool.FindMessageTypeByName(unknown[1])
    kind = unknown[1].rpartition(".")[2]
    return f"{source}{line}: {kind} has no field {unknown[2]!r}.{did_you_mean(unknown[2], descriptor.fields_by_name)}"
