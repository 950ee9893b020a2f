"""`ctrkit VERB [experiment=NAME] [key=value …]`: find the verb, teach it, or run it."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

from ctrkit.commands.verb import Verb
from ctrkit.commands.verbs import HYDRA_FLAGS, VALUED_FLAGS, VERBS, sections
from ctrkit.errors import ConfigError, CtrkitError, did_you_mean
from ctrkit.version import __version__

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",  # TensorFlow greets with pages about GPUs that are not there.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
EXIT_ERROR, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"ctrkit {__version__}")
        return 0
    name, *rest = arguments
    verb = VERBS.get(name)
    if verb is None:
        print(f"error: unknown verb {name!r}.{did_you_mean(name, VERBS)}\n\n{overview()}", file=sys.stderr)
        return EXIT_USAGE
    if verb.verbs and rest and not rest[0].startswith("-"):
        verbs = {one.name.split()[1]: one for one in verb.verbs}
        inner, *rest = rest
        if inner not in verbs:
            print(
                f"error: ctrkit {name}: unknown verb {inner!r}.{did_you_mean(inner, verbs)}\n\n{teach(verb)}",
                file=sys.stderr,
            )
            return EXIT_USAGE
        verb = verbs[inner]
    if verb.verbs or any(word in ("-h", "--help") for word in rest):
        print(teach(verb))
        return 0
    return _run(verb, rest)


def _run(verb: Verb, arguments: list[str]) -> int:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from ctrkit.commands.configuration import load_config, run_under_hydra

        function = importlib.import_module(verb.module).run
        if verb.plain:
            function(arguments)
            return 0
        arguments = as_overrides(verb, arguments)
        if {"-m", "--multirun"} & set(arguments) and not {"-c", "--cfg", "-i", "--info"} & set(arguments):
            importlib.import_module("ctrkit.commands.sweep").run_sweep(verb, [*verb.defaults, *arguments])
        elif any(word.split("=")[0] in HYDRA_FLAGS for word in arguments):
            run_under_hydra(function, [*verb.defaults, *arguments])
        else:
            function(load_config([*verb.defaults, *arguments]))
    except CtrkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ctrkit"):
            raise
        print(
            f"error: `ctrkit {verb.name}` needs the package {error.name!r}, which is not installed. "
            "Type: pip install 'ctrkit[sdk]'",
            file=sys.stderr,
        )
        return EXIT_ERROR
    except BrokenPipeError:  # `| head` has read enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Else Python complains when it ends.
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("\ninterrupted; type the same command again to go on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def as_overrides(verb: Verb, arguments: list[str]) -> list[str]:
    """A verb's bare words and flags as the key=value that they stand for; all else stays as it is.

    >>> verb = Verb(name="go", summary="", text="", examples=(), words={"": "run"}, flags={"to": "where"})
    >>> as_overrides(verb, ["first", "--to", "there", "seed=1"])
    ['where=there', 'seed=1', 'run=first']
    >>> verb = Verb(name="go", summary="", text="", examples=(), flags={"on": "is.on"}, switches=("on",))
    >>> as_overrides(verb, ["--on", "seed=1"]), as_overrides(verb, ["--on", "always"]), as_overrides(verb, ["--on"])
    (['is.on=true', 'seed=1'], ['is.on=always'], ['is.on=true'])

    Raises `ConfigError` for a flag without its value.
    """
    overrides: list[str] = []
    bare: dict[str, list[str]] = {}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if name in verb.flags and (equals or word.startswith("--")):
            if (
                not equals
                and name in verb.switches
                and (not waiting or "=" in waiting[0] or waiting[0].startswith("-"))
            ):
                value = "true"
            elif not equals:
                if not waiting or waiting[0].startswith("-") or "=" in waiting[0]:
                    raise ConfigError(f"`{word}` is without its value. Type: ctrkit {verb.name} {word} VALUE")
                value = waiting.pop(0)
            overrides.append(f"{verb.flags[name]}={value}")
            continue
        begun = [begin for begin in verb.words if word.startswith(begin)]
        if "=" not in word and not word.startswith(("-", "~")) and begun:
            bare.setdefault(verb.words[max(begun, key=len)], []).append(word)
            continue
        overrides.append(word)
        if word in VALUED_FLAGS and waiting:
            overrides.append(waiting.pop(0))
    listed = ((key, words[0] if len(words) == 1 else f"[{','.join(words)}]") for key, words in bare.items())
    return overrides + [f"{key}={value}" for key, value in listed]


def overview() -> str:
    """The text of `ctrkit --help`."""
    lines = [
        "ctrkit: click-through-rate models, from a raw click log to a served prediction.",
        "",
        "usage: ctrkit VERB [experiment=NAME] [key=value ...]",
        "",
    ]
    width = 2 + max(map(len, VERBS))
    for title, verbs in sections().items():
        lines += [title, *(f"  {verb.name:<{width}}{verb.summary}" for verb in verbs), ""]
    lines += [
        f"experiments: {', '.join(choices('experiment'))}",
        "",
        "Start with `ctrkit quickstart`, or with a log of your own: `ctrkit new NAME log=FILE`.",
        "`ctrkit VERB --help` teaches a verb; `ctrkit config …` shows what its words come to.",
    ]
    return "\n".join(lines)


def teach(verb: Verb) -> str:
    """The text of `ctrkit VERB --help`."""
    parts = [f"ctrkit {verb.name}: {verb.summary}", verb.text]
    if verb.verbs:
        width = 2 + max(len(one.name) for one in verb.verbs)
        parts.append("verbs\n" + "\n".join(f"  {one.name:<{width}}{one.summary}" for one in verb.verbs))
    parts.append("examples\n" + "\n".join(f"  {example}" for example in verb.examples))
    if verb.verbs:
        return "\n\n".join([*parts, f"`ctrkit {verb.name} VERB --help` teaches one of them, with its keys."])
    parts.append("keys\n" + "\n".join(f"  {key:<34}{meaning}" for key, meaning in verb.keys.items()))
    if not verb.groups:
        return "\n\n".join(parts)
    parts.append(
        "choices\n" + "\n".join(f"  {f'{g}=':<14}{', '.join(names)}" for g in verb.groups if (names := choices(g)))
    )
    if verb.plain:
        return "\n\n".join(parts)
    parts.append(
        "Any key of the configuration can be overridden; `ctrkit config …` shows it without running, `--multirun`\n"
        "runs comma-separated values side by side, sweep.jobs=N at once. A folder ./conf of your own is searched too."
    )
    return "\n\n".join(parts)


def choices(group: str) -> list[str]:
    """Names under `conf/<group>`, ctrkit's and the user's."""
    folders = [config_folder() / group, Path.cwd() / "conf" / group]
    return sorted({file.stem for folder in folders if folder.is_dir() for file in folder.glob("*.yaml")})


def groups() -> list[str]:
    """Names of the folders of `conf/`: what can be chosen by `group=name`."""
    return sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir())


def config_folder() -> Path:
    """Where ctrkit's own configuration lies: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


if __name__ == "__main__":
    sys.exit(main())
