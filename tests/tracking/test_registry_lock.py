"""The lock of a registry that knows no files: whose tag it is, when two come in the same moment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ctrkit.tracking import registry_lock
from ctrkit.tracking.registry_lock import LOCK_TAG, changing
from ctrkit.tracking.store import Refused


class Racing:
    """A registry in which the first to write a tag meets another's, which is released a little later."""

    location = SimpleNamespace(database_file=None)

    def __init__(self, *, other: str | None) -> None:
        self.tags: dict[str, str] = {}
        self._other, self.refused, self._looks = other, 0, 0

    def model(self, name: str) -> Any:
        self._looks += self.refused
        if self._looks == 4 and self.tags.get(LOCK_TAG) == self._other:
            self.tags.clear()
        return SimpleNamespace(tags=dict(self.tags))

    def tag_model(self, name: str, tags: dict[str, str | None]) -> None:
        if not self.refused:
            self.refused = 1
            if self._other is not None:
                self.tags[LOCK_TAG] = self._other
            raise Refused("UNIQUE constraint failed: registered_model_tags.key")
        self.tags = {key: value for key, value in tags.items() if value is not None}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_lock, "SETTLE", 0.0)
    monkeypatch.setattr(registry_lock, "LOOK_EVERY", 0.0)


def test_who_comes_second_in_the_same_moment_waits_for_the_other() -> None:
    registry: Any = Racing(other="0123 elsewhere 42")
    with changing(registry, "ads"):
        assert registry.tags[LOCK_TAG] != "0123 elsewhere 42"
    assert registry.tags == {}
    assert registry.refused == 1


def test_a_refusal_for_another_reason_is_told() -> None:
    registry: Any = Racing(other=None)
    with pytest.raises(Refused, match="UNIQUE"), changing(registry, "ads"):
        pass
