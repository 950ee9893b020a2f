"""A word of the command line and its help, as plain text."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Verb:
    """A word of the command line; `ctrkit/commands/<name>.py` holds its `run(config)`.

    A verb with `verbs` does nothing by itself: one of these follows, whose file is `<name>_<its name>.py`. A dash is an
    underscore there.
    """

    name: str  # `cluster train` for the verb `train` of `cluster`.
    summary: str
    text: str
    examples: tuple[str, ...]
    keys: dict[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ("experiment",)
    defaults: tuple[str, ...] = ()  # Overrides that come before the user's.
    verbs: tuple[Verb, ...] = ()
    words: dict[str, str] = field(default_factory=dict)  # How a bare word begins -> its key; several make a list.
    flags: dict[str, str] = field(default_factory=dict)  # `to` -> its key: `--to X`, `--to=X` and `to=X` all set it.
    switches: tuple[str, ...] = ()  # Those of `flags` that may stand without a value, and then mean `true`.
    plain: bool = False  # Its `run` takes the words of the command line, not a configuration.

    @property
    def module(self) -> str:
        """Where its `run` is."""
        return f"ctrkit.commands.{self.name.replace(' ', '_').replace('-', '_')}"


WHERE = {
    "experiment=NAME": "the settings to start from; see the list below",
    "work_dir=DIR": "where everything of the experiment lies (artifacts/NAME)",
}
RUN = {"run=NAME": "a run's folder under work_dir/runs; by default the latest"}
