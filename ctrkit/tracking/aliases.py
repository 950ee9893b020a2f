"""Move the aliases of a registered model so that a kill at any moment leaves only whole versions behind them.

`champion` is what is served, `previous` what was before it, `challenger` what is tried beside it. The champions of the
past are a tag of the model; where a kill parted the tag from the aliases, the alias `champion` is right.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass

from ctrkit.errors import RegistryError
from ctrkit.tracking import environment
from ctrkit.tracking.registry import RegisteredModel, RegisteredVersion, Registry
from ctrkit.tracking.registry_lock import changing

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
CHAMPIONS = "ctrkit.champions"  # Tag: versions that are or were champion, the one served now last.
MOVES = "ctrkit.moves"  # Tag: a line for each move, the newest last.
ROLLED_BACK = "ctrkit.rolled_back"  # Tag of a version: when, by whom, to which.
KEPT_CHAMPIONS, KEPT_MOVES = 50, 50
LOG = logging.getLogger("ctrkit.tracking")


class ChampionChangedError(RegistryError):
    """Somebody else moved the alias since the gates were passed: they have to be passed again."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """What became of an alias."""

    alias: str
    version: int
    before: int | None  # Where it pointed before; the same version where there was nothing to move.

    @property
    def is_moved(self) -> bool:
        return self.version != self.before


def champions(model: RegisteredModel) -> list[int]:
    """The versions that are or were champion, the one served now last; none where there is no champion."""
    champion = model.aliases.get(CHAMPION)
    if champion is None:
        return []
    past = [int(version) for version in model.tags.get(CHAMPIONS, "").split()]
    while past and past[-1] != champion:  # A move was cut short: what it had announced did not happen.
        past.pop()
    if past:
        return past
    previous = model.aliases.get(PREVIOUS)  # The tag is lost, or the alias was moved by other means.
    return [champion] if previous in (None, champion) else [previous, champion]


def point_champion(registry: Registry, version: RegisteredVersion, *, expected: int | None) -> Move:
    """Make a version the champion, and the champion of before `previous`.

    Args:
        version: registered, checked.
        expected: the champion that it was compared with; None for none.
    Raises:
        ChampionChangedError: the champion is another one by now; nothing was moved.
        RegistryError: the registry says afterwards that the alias points elsewhere.
    """
    with changing(registry, version.name):
        model = registry.model(version.name)
        before = model.aliases.get(CHAMPION)
        if before not in (expected, version.version):
            raise ChampionChangedError(
                f"The champion of {version.name} became version {before} while version {version.version} was compared "
                f"with {'none' if expected is None else f'version {expected}'}. Promote again."
            )
        past = champions(model)
        _settle(registry, model, past if before == version.version else [*past, version.version], "promoted")
        if model.aliases.get(CHALLENGER) == version.version:
            registry.point(version.name, CHALLENGER, None)
    return Move(alias=CHAMPION, version=version.version, before=before)


def point_alias(registry: Registry, version: RegisteredVersion, alias: str) -> Move:
    """Let an alias other than `champion` and `previous` point to a version."""
    with changing(registry, version.name):
        before = registry.model(version.name).aliases.get(alias)
        if before != version.version:
            registry.point(version.name, alias, version.version)
            _note(registry, registry.model(version.name), alias, version.version, before, "promoted")
    return Move(alias=alias, version=version.version, before=before)


def roll_back(registry: Registry, name: str) -> Move:
    """Make the champion of before the champion again; `previous` is then the one before that, where there was one.

    Raises `RegistryError` when there is none to go back to, or when its files are not whole; nothing is moved then.
    """
    past = champions(registry.model(name))
    if len(past) < 2:
        now = f"Version {past[-1]} is the only champion that there was" if past else "It never had a champion"
        raise RegistryError(
            f"Model {name} has no champion to go back to. {now}. Promote another run: ctrkit promote RUN --to champion"
        )
    target, kept = _last_kept(registry, name, past[:-1])
    registry.check(target)  # It may be read from afar for minutes: not under the lock.
    with changing(registry, name):
        model = registry.model(name)
        if champions(model) != past:
            raise ChampionChangedError(
                f"The champion of {name} became version {model.aliases.get(CHAMPION)} while the files of version "
                f"{target.version} were checked. Type the same command again where it is still meant."
            )
        _settle(registry, model, kept, "rolled back")
        with contextlib.suppress(RegistryError):  # It may have been deleted.
            left = registry.version(name, past[-1])
            registry.tag_version(left, {ROLLED_BACK: f"{_now()} by {environment.user()} to {target.version}"})
    return Move(alias=CHAMPION, version=target.version, before=past[-1])


def _last_kept(registry: Registry, name: str, past: list[int]) -> tuple[RegisteredVersion, list[int]]:
    """The last of the past champions that was not deleted, and the past up to it."""
    for place in range(len(past) - 1, 0, -1):
        try:
            return registry.version(name, past[place]), past[: place + 1]
        except RegistryError as error:
            LOG.warning("%s The champion before it takes its place.", error)
    return registry.version(name, past[0]), past[:1]


def _settle(registry: Registry, model: RegisteredModel, past: list[int], verb: str) -> None:
    """Bring tag and aliases to what `past` says, in an order that can stop anywhere.

    The tag has to name every champion before the alias does, and may name more of them.
    """
    champion, previous = past[-1], past[-2] if len(past) > 1 else None
    before = model.aliases.get(CHAMPION)
    tag = " ".join(map(str, past[-KEPT_CHAMPIONS:]))
    known = champions(model)
    if past[: len(known)] == known:
        registry.tag_model(model.name, {CHAMPIONS: tag})
    if before != champion:
        registry.point(model.name, CHAMPION, champion)
    if past[: len(known)] != known:
        registry.tag_model(model.name, {CHAMPIONS: tag})
    if model.aliases.get(PREVIOUS) != previous:
        registry.point(model.name, PREVIOUS, previous)
    if before != champion:
        _note(registry, model, CHAMPION, champion, before, verb)
    after = registry.model(model.name).aliases.get(CHAMPION)
    if after != champion:
        raise RegistryError(
            f"Alias {CHAMPION!r} of {model.name} was to point to version {champion}, but points to {after}: somebody "
            "moved it at the same moment. See the model's page, and type the same command again."
        )


def _note(registry: Registry, model: RegisteredModel, alias: str, version: int, before: int | None, verb: str) -> None:
    line = f"{_now()} {environment.user()} {verb} {alias} {before or '-'} -> {version}"
    lines = [*model.tags.get(MOVES, "").splitlines(), line]
    registry.tag_model(model.name, {MOVES: "\n".join(lines[-KEPT_MOVES:])})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
