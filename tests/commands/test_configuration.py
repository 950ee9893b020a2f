"""Every choice under `conf/` composes, and a typo is told the nearest word."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra.utils import get_object
from omegaconf import DictConfig

from ctrkit.commands.configuration import load_config
from ctrkit.commands.instantiating import make
from ctrkit.commands.main import choices, config_folder
from ctrkit.commands.workspace import plain
from ctrkit.errors import ConfigError
from ctrkit.schema import Schema

GROUPS = sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir())


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in GROUPS for name in choices(group)])
def test_every_choice_composes(group: str, name: str) -> None:
    config = load_config(
        [
            f"{group}={name}",
            *(
                ["data.path=log.csv"]
                if name == "files"
                else ["model._target_=ctrkit.models.wide_deep"]
                if name == "custom"
                else []
            ),
        ]
    )
    Schema.from_dict(plain(config.schema))
    for place, node in targets(config):
        if place in MADE_WITH_MORE:
            assert callable(get_object(node._target_))
        else:
            make(node)
    assert {place for place, _ in targets(config)} >= {"model", "training", "export", "data.split"}


MADE_WITH_MORE = ("model", "data.build")  # Than the configuration says: an index, a folder.


def targets(config: DictConfig, above: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every part of the configuration that stands for an object, and its place."""
    if "_target_" in config:
        yield above, config
    for key, value in config.items_ex(resolve=False):
        if isinstance(value, DictConfig):
            yield from targets(value, f"{above}.{key}" if above else str(key))


def test_a_mistyped_key_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"No key 'training\.batchsize'\. Did you mean 'training\.batch_size'\?"):
        load_config(["training.batchsize=5"])


def test_a_mistyped_experiment_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"No experiment 'critoe'\. Did you mean 'criteo'\?"):
        load_config(["experiment=critoe"])


def test_a_word_without_equals_sign_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Cannot read 'criteo': expected key=value"):
        load_config(["criteo"])


def test_a_folder_conf_of_the_user_adds_choices(tmp_path: Path) -> None:
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nname: mine\n")
    done = subprocess.run(
        [sys.executable, "-m", "ctrkit.commands.main", "train", "experiment=mine", "--cfg", "job"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "name: mine" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("training", "local"),
        ("tuning", "bayesian"),
        ("export", "default"),
        ("cluster", "local"),
        ("manifest", "kubeflow"),
        ("deployment", "tensorflow_serving"),
        *(("model", m) for m in choices("model") if m != "custom"),
    ],
)
def test_every_option_of_a_target_can_be_overridden_by_name(group: str, name: str) -> None:
    config = load_config([f"{group}={name}"])[group]
    options = inspect.signature(get_object(config._target_)).parameters
    positional = {"index", "name"} if group == "model" else set()
    assert set(options) - positional == {key for key in config if not key.startswith("_")}
    if group != "model":
        chosen = {key: value for key, value in plain(config).items() if not key.startswith("_")}
        assert get_object(config._target_)(**chosen) == get_object(config._target_)(), (
            "conf/ and code disagree on a default"
        )


def test_a_value_that_an_option_refuses_is_said_in_its_own_words() -> None:
    with pytest.raises(ConfigError, match=r"^training\.batch_size is 0, expected a whole number of at least 1"):
        make(load_config(["training.batch_size=0"]).training)
