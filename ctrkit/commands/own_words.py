"""Take a verb's own words out of those that are for the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctrkit.errors import ConfigError, did_you_mean


def own_words(
    arguments: Sequence[str], keys: Mapping[str, Sequence[str] | None]
) -> tuple[dict[str, str], list[str], list[str]]:
    """What stands for each of a verb's own `keys`, the bare words, and the rest.

    `keys` have the values that they take; None for any. `--key value` and `--key=value` are the same as `key=value`.

    >>> own_words(["log.csv", "--out", "x.yaml", "seed=1"], {"out": None})
    ({'out': 'x.yaml'}, ['log.csv'], ['seed=1'])

    Raises `ConfigError` for a value that a key does not take, and for an unknown flag.
    """
    given: dict[str, str] = {}
    bare: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if word.startswith("-") and name not in keys:
            raise ConfigError(f"Unknown flag {word!r}.{did_you_mean(name, keys)}")
        if name in keys and (equals or word.startswith("--")):
            if not equals and not waiting:
                raise ConfigError(f"`{word}` is without its value. Type {name}=VALUE.")
            given[name] = _checked(name, value if equals else waiting.pop(0), keys[name])
        elif equals or word.startswith("~"):
            rest.append(word)
        else:
            bare.append(word)
    return given, bare, rest


def _checked(name: str, value: str, choices: Sequence[str] | None) -> str:
    if choices is not None and value not in choices:
        raise ConfigError(f"{name}={value}: unknown value.{did_you_mean(value, choices)}")
    return value
