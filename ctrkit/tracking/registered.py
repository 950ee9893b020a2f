"""A registered model and its versions, as they were a moment ago."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ctrkit.errors import RegistryError
from ctrkit.tracking.model_log import DIGEST, SAVED_MODEL_AT

MODEL_ID = "ctrkit.model_id"  # Tag of a version: the logged model that it was made of.
READY = "READY"
PROMOTE = "Register one: ctrkit promote --to champion"


@dataclass(frozen=True, kw_only=True)
class RegisteredModel:
    """A registered model as it was a moment ago."""

    name: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    status: str
    run_id: str | None
    tags: Mapping[str, str]

    @classmethod
    def of(cls, found: Any) -> RegisteredVersion:
        """What MLflow returned."""
        return cls(
            name=found.name,
            version=int(found.version),
            status=str(found.status),
            run_id=found.run_id,
            tags=dict(found.tags),
        )

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"

    @property
    def digest(self) -> str:
        """`directory_checksum` of its SavedModel. Raises `RegistryError` for a version that ctrkit did not make."""
        return self._tag(DIGEST)

    @property
    def place(self) -> str:
        """Where its SavedModel lies among its files."""
        return self._tag(SAVED_MODEL_AT)

    def _tag(self, name: str) -> str:
        found = self.tags.get(name)
        if found is None:
            raise RegistryError(
                f"Model {self} has no tag {name!r}: it was not registered by `ctrkit promote`, so nobody can say "
                "whether its files are whole. Promote a run of ctrkit's."
            )
        return found
