"""`ctrkit cluster manifest`: the experiment as a Kubeflow TFJob and as plain TF_CONFIGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from omegaconf import DictConfig

from ctrkit.atomic import atomic_directory, atomic_file
from ctrkit.commands.configuration import typed_overrides
from ctrkit.commands.console import say
from ctrkit.commands.instantiating import make
from ctrkit.commands.workspace import new_run, work_dir
from ctrkit.errors import ConfigError

if TYPE_CHECKING:
    from ctrkit.training.cluster import ClusterOptions, ManifestOptions

# Words that say where things lie on this machine, or that only this verb reads.
_LOCAL = ("root", "work_dir", "run", "manifest", "force")
_HEAD = """\
# Train {name} on parameter servers: kubectl apply -f {file}
# The claim {claim} holds the prepared experiment: copy {work_dir} to {target} on it.
"""


def run(config: DictConfig) -> None:
    """Write the files and say how they are used."""
    cluster, options = make(config.cluster), make(config.manifest)
    if cluster.mode == "none":
        raise ConfigError(
            "A manifest for training=local would start a cluster that nobody uses. Type training=async_ps or "
            "training=sync_ps."
        )
    folder = work_dir(config) / "cluster"
    words = task_words(config, options)
    write_tfjob(config, words, cluster, options, folder / "tfjob.yaml")
    tasks = write_tf_configs(str(config.name), cluster, options, folder / "tf_config")
    say(f"  each task runs: {' '.join(words)}")
    say(f"  {folder / 'tfjob.yaml'}: for the Kubeflow Training Operator, image {options.image}")
    say(f"  {folder / 'tf_config'}: the TF_CONFIG of {len(tasks)} tasks ({tasks[0]} … {tasks[-1]})")
    say(f"next: kubectl apply -f {folder / 'tfjob.yaml'}")


def task_words(config: DictConfig, options: ManifestOptions) -> list[str]:
    """The command of every task: the words typed here, with the paths of the volume and one run for all."""
    typed: dict[str, str] = {}
    for word in typed_overrides():
        key = word.lstrip("+~").partition("=")[0]
        typed.pop(key, None)  # Of two words for one key the later one holds, and at its place.
        if key.split(".")[0] not in _LOCAL:
            typed[key] = word
    name = new_run(config).name if config.run in (None, "new") else Path(str(config.run)).name
    return ["ctrkit", "train", *typed.values(), f"root={options.mount}", f"run={name}"]


def write_tfjob(
    config: DictConfig, words: list[str], cluster: ClusterOptions, options: ManifestOptions, path: Path
) -> None:
    """Write the TFJob as YAML."""
    from ctrkit.training.cluster import tfjob

    head = _HEAD.format(
        name=config.name,
        file=path.name,
        claim=options.claim,
        work_dir=work_dir(config),
        target=f"{options.mount.rstrip('/')}/{config.name}",
    )
    job = tfjob(str(config.name), words, cluster, options)
    with atomic_file(path) as temporary:
        temporary.write_text(head + yaml.dump(job, Dumper=_Plain, sort_keys=False), encoding="utf-8")


def write_tf_configs(name: str, cluster: ClusterOptions, options: ManifestOptions, folder: Path) -> list[str]:
    """Write one JSON file a task, replacing all that were there; returns the tasks' names."""
    from ctrkit.training.cluster import tf_configs

    found = tf_configs(name, cluster, options)
    with atomic_directory(folder) as temporary:
        for task, content in found.items():
            (temporary / f"{task}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    return list(found)


class _Plain(yaml.SafeDumper):
    """YAML without anchors, which a person would stumble over."""

    def ignore_aliases(self, data: object) -> bool:
        return True
