"""`models:/NAME@ALIAS` and `models:/NAME/3`: which version of which registered model is meant."""

from __future__ import annotations

from dataclasses import dataclass

from ctrkit.errors import ConfigError

SCHEME = "models:/"
_EXPECTED = "expected models:/NAME@ALIAS, e.g. models:/ctr@champion, or models:/NAME/VERSION, e.g. models:/ctr/3"


@dataclass(frozen=True, kw_only=True)
class ModelReference:
    """A registered model and either an alias, which may move, or a version."""

    name: str
    alias: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"@{self.alias}" if self.version is None else f"/{self.version}")

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Read a reference.

        >>> ModelReference.parse("models:/ctr@champion")
        ModelReference(name='ctr', alias='champion', version=None)

        Raises `ConfigError` with the forms that there are.
        """
        rest = text.removeprefix(SCHEME)
        name, at, alias = rest.rpartition("@")
        if text.startswith(SCHEME) and at and name and alias and "/" not in rest:
            return cls(name=name, alias=alias)
        name, slash, version = rest.rpartition("/")
        if text.startswith(SCHEME) and slash and name and "/" not in name and version.isascii() and version.isdigit():
            return cls(name=name, version=int(version))
        raise ConfigError(f"Cannot read the model {text!r}: {_EXPECTED}.")


def is_reference(text: str) -> bool:
    """Whether `text` means a registered model, however wrongly it may be written."""
    return text.startswith("models:")
