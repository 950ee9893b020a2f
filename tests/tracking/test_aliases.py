"""Aliases move through whole states only, and whatever a kill left is made good by the next command."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctrkit.errors import RegistryError
from ctrkit.indexing import FeatureIndex
from ctrkit.tracking.aliases import (
    CHAMPIONS,
    MOVES,
    ROLLED_BACK,
    ChampionChangedError,
    champions,
    point_alias,
    point_champion,
    roll_back,
)
from ctrkit.tracking.registry import RegisteredModel, RegisteredVersion, Registry
from tests.tracking.exports import register, registry_in


@pytest.fixture(scope="module")
def registry(work_root: Path) -> Registry:
    return registry_in(work_root)


@pytest.fixture(scope="module")
def template(
    registry: Registry, tiny_index: FeatureIndex, tmp_path_factory: pytest.TempPathFactory
) -> list[RegisteredVersion]:
    """Three versions to make models of."""
    folder = tmp_path_factory.mktemp("aliased")
    return [register(registry, "template", folder, tiny_index, f"template-{n}") for n in (1, 2, 3)]


@pytest.fixture
def versions(
    registry: Registry, template: list[RegisteredVersion], request: pytest.FixtureRequest
) -> list[RegisteredVersion]:
    """Three versions of a model of the test's own."""
    name = request.node.name
    registry.create(name)
    return [registry.register(name, one.tags["ctrkit.model_id"], {}) for one in template]


def aliases(registry: Registry, name: str) -> dict[str, int]:
    return dict(registry.model(name).aliases)


def promote(registry: Registry, *versions: RegisteredVersion) -> None:
    for version in versions:
        point_champion(registry, version, expected=aliases(registry, version.name).get("champion"))


def test_the_champion_of_before_becomes_previous(registry: Registry, versions: list[RegisteredVersion]) -> None:
    name = versions[0].name
    first = point_champion(registry, versions[0], expected=None)
    assert (first.version, first.before, first.is_moved) == (1, None, True)
    assert aliases(registry, name) == {"champion": 1}
    point_champion(registry, versions[2], expected=1)
    assert aliases(registry, name) == {"champion": 3, "previous": 1}
    again = point_champion(registry, versions[2], expected=1)
    assert not again.is_moved
    assert aliases(registry, name) == {"champion": 3, "previous": 1}
    moves = registry.model(name).tags[MOVES].splitlines()
    assert [line.split(" promoted ")[1] for line in moves] == ["champion - -> 1", "champion 1 -> 3"]


def test_a_challenger_is_beside_the_champion_until_it_is_that_itself(
    registry: Registry, versions: list[RegisteredVersion]
) -> None:
    name = versions[0].name
    promote(registry, versions[0])
    assert point_alias(registry, versions[1], "challenger").before is None
    assert aliases(registry, name) == {"champion": 1, "challenger": 2}
    promote(registry, versions[2])
    assert aliases(registry, name) == {"champion": 3, "previous": 1, "challenger": 2}
    promote(registry, versions[1])
    assert aliases(registry, name) == {"champion": 2, "previous": 3}


def test_whoever_compared_with_another_champion_moves_nothing(
    registry: Registry, versions: list[RegisteredVersion]
) -> None:
    promote(registry, versions[0])
    with pytest.raises(ChampionChangedError, match=r"became version 1 while version 2 was compared with none"):
        point_champion(registry, versions[1], expected=None)
    assert aliases(registry, versions[0].name) == {"champion": 1}


def test_rolling_back_twice_goes_two_back(registry: Registry, versions: list[RegisteredVersion]) -> None:
    name = versions[0].name
    promote(registry, *versions)
    move = roll_back(registry, name)
    assert (move.version, move.before) == (2, 3)
    assert aliases(registry, name) == {"champion": 2, "previous": 1}
    assert " to 2" in registry.version(name, 3).tags[ROLLED_BACK]
    roll_back(registry, name)
    assert aliases(registry, name) == {"champion": 1}
    with pytest.raises(
        RegistryError, match=r"no champion to go back to\. Version 1 is the only champion that there was"
    ):
        roll_back(registry, name)
    promote(registry, versions[2])
    assert aliases(registry, name) == {"champion": 3, "previous": 1}


def test_there_is_nothing_to_roll_back_without_a_champion(
    registry: Registry, versions: list[RegisteredVersion]
) -> None:
    with pytest.raises(RegistryError, match=r"It never had a champion\. Promote another run: ctrkit promote RUN --to"):
        roll_back(registry, versions[0].name)


def test_a_deleted_champion_of_the_past_is_passed_over(
    registry: Registry, versions: list[RegisteredVersion], client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name = versions[0].name
    promote(registry, *versions)
    client.delete_model_version(name, "2")
    roll_back(registry, name)
    assert aliases(registry, name) == {"champion": 1}
    assert "has no version 2" in caplog.text


def test_a_damaged_champion_of_the_past_does_not_come_back(
    registry: Registry, tiny_index: FeatureIndex, tmp_path: Path
) -> None:
    versions = [register(registry, "spoiled", tmp_path, tiny_index, f"spoiled-{n}") for n in (1, 2)]
    promote(registry, *versions)
    assert registry.location.artifact_root is not None
    stored = registry.location.artifact_root.rglob("saved_model.pb")
    next(path for path in stored if path.read_text() == "spoiled-1").write_text("")
    with pytest.raises(RegistryError, match="spoiled version 1 are not those that were registered"):
        roll_back(registry, "spoiled")
    assert aliases(registry, "spoiled") == {"champion": 2, "previous": 1}


@pytest.mark.parametrize(
    ("found", "tag", "expected"),
    [
        ({}, "", []),
        ({"champion": 2, "previous": 1}, "1 2", [1, 2]),
        ({"champion": 2, "previous": 1}, "1 2 3", [1, 2]),  # Killed before the alias moved.
        ({"champion": 3, "previous": 1}, "1 2 3", [1, 2, 3]),  # Killed before `previous` moved.
        ({"champion": 1, "previous": 1}, "1 2", [1]),
        ({"champion": 4, "previous": 1}, "1 2", [1, 4]),  # Moved by hand, in MLflow's pages.
        ({"champion": 4}, "", [4]),
    ],
)
def test_where_tag_and_alias_disagree_the_alias_is_right(found: dict[str, int], tag: str, expected: list[int]) -> None:
    assert champions(RegisteredModel(name="ads", aliases=found, tags={CHAMPIONS: tag})) == expected


def test_a_promotion_that_was_killed_in_the_middle_is_completed_by_the_next(
    registry: Registry, versions: list[RegisteredVersion]
) -> None:
    name = versions[0].name
    promote(registry, *versions[:2])
    registry.tag_model(name, {CHAMPIONS: "1 2 3"})
    registry.point(name, "champion", 3)  # Here it was killed.
    point_champion(registry, versions[2], expected=2)
    assert aliases(registry, name) == {"champion": 3, "previous": 2}


# --- processes ----------------------------------------------------------------------------------------------------

PROMOTER = Path(__file__).with_name("promoter.py")


@pytest.fixture
def promoter(work_root: Path, template: list[RegisteredVersion]) -> Iterator[Any]:
    """Start a process that promotes as it is told."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.tracking.promoter", str(work_root), *words]
        folder = Path(__file__).parents[2]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_of_many_promotions_at_once_each_replaces_the_champion_that_it_was_compared_with(
    promoter: Any, registry: Registry, tiny_index: FeatureIndex, tmp_path: Path
) -> None:
    for n in range(8):
        register(registry, "crowded", tmp_path, tiny_index, f"crowded-{n}")
    processes = [promoter("crowd", "crowded", *map(str, range(k + 1, 9, 2))) for k in range(2)]
    moves = [json.loads(line) for process in processes for line in process.communicate(timeout=120)[0].splitlines()]
    assert all(process.returncode == 0 for process in processes)
    assert sorted(move["version"] for move in moves) == list(range(1, 9))
    before = {move["version"]: move["before"] for move in moves}
    chain = [aliases(registry, "crowded")["champion"]]
    while before[chain[-1]] is not None:
        chain.append(before[chain[-1]])
    assert sorted(chain) == list(range(1, 9))  # No promotion was lost between two others.
    assert aliases(registry, "crowded")["previous"] == chain[1]
    assert champions(registry.model("crowded")) == chain[::-1]


@pytest.mark.slow
def test_killed_at_any_moment_no_alias_points_at_a_half_registered_version(
    promoter: Any, registry: Registry, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    process = promoter("one by one", "killed", str(tmp_path))
    assert process.stdout.readline() == "ready\n"
    began, seconds, rounds, killed = time.monotonic(), 60.0, 8, 0
    for number in range(rounds):
        # The first is left to end: it says how long the others may take.
        print(number, random.uniform(0, seconds) if number else seconds, file=process.stdin, flush=True)
        ended = process.stdout.readline().split()
        if number == 0:
            seconds = time.monotonic() - began
        killed += ended == ["killed"]
        for version in set(aliases(registry, "killed").values()) if number else ():
            registry.check(registry.version("killed", version))
        print("again", file=process.stdin, flush=True)
        assert process.stdout.readline() == "promoted\n"
        after = aliases(registry, "killed")
        newest = registry.version("killed", after["champion"])
        registry.check(newest)
        assert newest.tags["ctrkit.run"] == str(number)
        if number:
            assert registry.version("killed", after["previous"]).tags["ctrkit.run"] == str(number - 1)
    assert killed > rounds / 3
