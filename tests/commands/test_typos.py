"""A mistyped word, on the command line or in a user's own file, is told the nearest that would do."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ctrkit.commands.configuration import initialized, load_config, start_name
from ctrkit.commands.instantiating import make
from ctrkit.commands.known_keys import check_files
from ctrkit.commands.layers import composed_layers
from ctrkit.commands.main import choices, config_folder, groups, main
from ctrkit.commands.workspace import plain
from ctrkit.errors import ConfigError


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own ./conf with a model and an experiment that are right."""
    monkeypatch.chdir(tmp_path)
    files = {
        "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /model: own\nname: mine\n",
        "model/own.yaml": "_target_: own.model\n_partial_: true\nlayers: 3\n",
    }
    for name, text in files.items():
        write(tmp_path / "conf" / name, text)
    return tmp_path / "conf"


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["training.epoch=3"], r"No key 'training\.epoch'\. Did you mean 'training\.epochs'\?"),
        (["trainig.epochs=3"], r"No key 'trainig\.epochs'\. Did you mean 'training\.epochs'\?"),
        (["data.split.tset=0.1"], r"No key 'data\.split\.tset'\. Did you mean 'data\.split\.test'\?"),
        (["epochs=3"], r"No key 'epochs'\. Did you mean 'training\.epochs'\?"),
        (["batchsize=3"], r"No key 'batchsize'\. Did you mean 'training\.batch_size'\?"),
        (["modle=deepfm"], r"No key 'modle'\. Did you mean 'model'\?"),
        (["model=depfm"], r"No model 'depfm'\. Did you mean 'deepfm'\?"),
        (
            ["model=deepfm", "model.rank=3"],
            r"No key 'model\.rank'\. Valid: 'activation', 'batch_norm', 'click_rates', 'dim'",
        ),
        (["training=lcoal"], r"No training 'lcoal'\. Did you mean 'local'\?"),
        (["training.table_options.beta=1"], r"To add it type \+training\.table_options\.beta=1"),
    ],
)
def test_a_word_that_names_nothing_is_told_the_nearest(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_config(words)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("schema.features.C{1..26}.min_count=2", "Cannot read the key of 'schema.features.C{1..26}.min_count=2'"),
        ("model.hidden=[8,4", "Cannot read the value of 'model.hidden=[8,4': brackets and quotes come in pairs"),
        ("name=it's", "Cannot read the value of"),
    ],
)
def test_a_word_that_cannot_be_read_is_told_as_it_was_typed(word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        load_config([word])


def test_the_quoted_word_that_is_told_is_read_as_the_text() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(["name=a{b's"])
    _, _, typed = str(caught.value).rpartition("type ")
    assert load_config(shlex.split(typed)).name == "a{b's"


@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("experiment/bad.yaml", "training: {epoch: 3}", r"bad\.yaml: no key 'training\.epoch'. Did you mean 'training"),
        (
            "experiment/bad.yaml",
            "trainig: {epochs: 3}",
            r"bad\.yaml: no key 'trainig'. Did you mean 'training\.epochs'",
        ),
        ("experiment/bad.yaml", "model: {dims: 3}", r"bad\.yaml: no key 'model\.dims'. Did you mean 'model\.dim'"),
        ("experiment/bad.yaml", "defaults:\n  - override /modle: own", r"stands in .*bad\.yaml\. Did you mean 'model'"),
        ("experiment/bad.yaml", "defaults:\n  - override /model: onw", r"stands in .*bad\.yaml\. Did you mean 'own'"),
        ("experiment/bad.yaml", "seed: [1", r"bad\.yaml.*line 2"),
    ],
)
def test_a_slip_in_an_experiment_is_told_with_its_file(conf: Path, file: str, text: str, told: str) -> None:
    write(conf / file, f"# @package _global_\n{text}\n")
    with pytest.raises(ConfigError, match=told):
        load_config(["experiment=bad"])


def test_a_slip_in_a_choice_of_the_user_is_told_with_its_file(conf: Path) -> None:
    write(conf / "training" / "long.yaml", "defaults: [local]\nepoch: 30\n")
    with pytest.raises(ConfigError, match=r"long\.yaml: no key 'training\.epoch'. Did you mean 'training\.epochs'"):
        load_config(["training=long"])


def test_options_of_a_model_of_the_user_are_not_taken_for_slips(conf: Path) -> None:
    write(conf / "experiment" / "deep.yaml", "# @package _global_\ndefaults: [mine]\nmodel: {layers: 5}\n")
    assert load_config(["experiment=deep"]).model.layers == 5
    write(conf / "experiment" / "deeper.yaml", "# @package _global_\ndefaults: [mine]\nmodel: {layer: 5}\n")
    with pytest.raises(ConfigError, match=r"no key 'model\.layer'. Did you mean 'model\.layers'"):
        load_config(["experiment=deeper"])


def test_a_choice_that_hides_behind_one_of_ctrkit_is_refused(conf: Path) -> None:
    write(conf / "model" / "deepfm.yaml", "_target_: own.model\n")
    with pytest.raises(ConfigError, match=r"conf/model/deepfm\.yaml has the name of one of ctrkit's.*Rename it"):
        load_config([])


@pytest.mark.parametrize("name", choices("experiment"))
def test_ctrkit_s_own_experiments_set_only_what_is_read(name: str) -> None:
    words = [f"experiment={name}"]
    with initialized():
        check_files(composed_layers(start_name(), words), config_folder(), groups())


def test_a_mistyped_flag_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--multrun", "seed=1,2"]) == 1
    assert "Did you mean '--multirun'?" in capsys.readouterr().err


def test_an_option_added_by_force_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"TrainingOptions has no option 'epoch'\. Did you mean 'epochs'\?"):
        make(load_config(["+training.epoch=3"]).training)


def test_a_value_that_was_not_given_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"data\.path has no value, and no default\. Type data\.path=VALUE"):
        plain(load_config(["data=files"]).data)


def test_what_an_experiment_says_of_its_own_model_is_not_forced_on_another(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = load_config(["experiment=adult", "model=logistic_regression"]).model
    assert (model.l2, "dim" in model, "hidden" in model) == (1e-4, False, False)
    assert "logistic_regression has no dim, hidden, dropout" in capsys.readouterr().err
    write(conf / "experiment" / "deep.yaml", "# @package _global_\ndefaults: [mine]\nmodel: {layers: 5}\n")
    assert "layers" not in load_config(["experiment=deep", "model=deepfm"]).model
    write(conf / "experiment" / "deep.yaml", "# @package _global_\ndefaults: [mine]\nmodel: {layer: 5}\n")
    with pytest.raises(ConfigError, match=r"no key 'model\.layer'"):
        load_config(["experiment=deep", "model=deepfm"])
