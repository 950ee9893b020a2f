"""`models.config`: read as TensorFlow Serving reads it, written so that it can, refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from ctrkit.errors import ConfigError
from ctrkit.serving.models import All, Latest, ModelConfig, ModelsConfig, Specific

TEXT = """
# Two models, as in TensorFlow Serving's documentation.
model_config_list {
  config {
    name: 'first'
    base_path: '/models/first'
    model_platform: 'tensorflow'
    model_version_policy { specific { versions: 42 versions: 43 } }
    version_labels { key: 'stable' value: 43 }
    version_labels { key: "canary" value: 42 }
  }
  config: {
    name: "second",
    base_path: "/models/second"
    model_type: TENSORFLOW
    model_version_policy: { all: {} }
    logging_config { log_collector_config { type: "file" filename_prefix: "/tmp/requests" } }
  }
  config { name: "third" base_path: "/models/third" model_platform: "tensorflow" }
}
"""


def official(text: str):  # type: ignore[no-untyped-def]
    """What TensorFlow Serving's own messages make of a text."""
    pb2 = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    return text_format.Parse(text, pb2.ModelServerConfig()).model_config_list.config


def test_a_file_is_read_as_it_is_meant(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(TEXT)
    first, second, third = ModelsConfig.read(tmp_path / "models.config").models
    assert first == ModelConfig("first", Path("/models/first"), Specific((42, 43)), {"stable": 43, "canary": 42})
    assert (second.name, second.base_path, second.policy) == ("second", Path("/models/second"), All())
    assert third.policy == Latest(1)
    assert third.labels == {}


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    config = ModelsConfig.parse(TEXT)
    config.write(tmp_path / "models.config")
    assert ModelsConfig.read(tmp_path / "models.config") == config
    assert 'filename_prefix: "/tmp/requests"' in (tmp_path / "models.config").read_text()


def test_official_messages_read_both_texts_alike() -> None:
    written = ModelsConfig.parse(TEXT).text()
    for config in (official(TEXT), official(written)):
        first, second, third = config
        assert (first.name, first.base_path, first.model_platform) == ("first", "/models/first", "tensorflow")
        assert list(first.model_version_policy.specific.versions) == [42, 43]
        assert dict(first.version_labels) == {"stable": 43, "canary": 42}
        assert second.model_version_policy.WhichOneof("policy_choice") == "all"
        assert second.logging_config.log_collector_config.type == "file"
        assert third.base_path == "/models/third"


policies = st.one_of(
    st.builds(Latest, st.integers(1, 2**32 - 1)),
    st.just(All()),
    st.builds(Specific, st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=4).map(tuple)),
)
names = st.text("ab 1é漢'\"\\\\\n\t/:{}#", min_size=1, max_size=8)
configs = st.lists(
    st.builds(
        ModelConfig,
        name=names,
        base_path=st.text("abc/ é\"'\\", max_size=10).map(lambda text: Path("/models" + text)),
        policy=policies,
        labels=st.dictionaries(names, st.integers(0, 2**63 - 1), max_size=3),
    ),
    max_size=3,
    unique_by=lambda model: model.name,
).map(lambda models: ModelsConfig(tuple(models)))


@settings(max_examples=30, deadline=None)
@given(configs)
def test_any_configuration_survives_its_text(config: ModelsConfig) -> None:
    assert ModelsConfig.parse(config.text()) == config
    assert len(official(config.text())) == len(config.models)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'model_config_list {\n config {\n  name: "a"\n  base_paht: "/a"\n }\n}',
            r"serving\.conf, line 4: ModelConfig has no field 'base_paht'\. Did you mean 'base_path'\?",
        ),
        (
            "model_config_list { config { model_version_policy {\n lastest {} } } }",
            r"line 2: ServableVersionPolicy has no field 'lastest'\. Did you mean 'latest'\?",
        ),
        ("models { }", r"line 1: ModelServerConfig has no field 'models'\. .*'model_config_list'"),
        ("model_config_list {\n\n config { name: 3 } }", r"serving\.conf, line 3: .*Expected string"),
        ('model_config_list { config { name: "a"', r"serving\.conf, line 1: Expected"),
        ("", r"serving\.conf: It lists no models\. Expected e\.g\.\nmodel_config_list"),
        ("custom_model_config { [type.googleapis.com/x.Y] { a: 1 } }", r"needs a server with a loader of its own"),
        ('custom_model_config { type_url: "x" }', r"serving\.conf: `custom_model_config` needs .* List the models"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelsConfig.parse(text, "serving.conf")


def of_model(fields: str) -> str:
    return f'model_config_list {{ config {{ name: "a" base_path: "/a" model_platform: "tensorflow" {fields} }} }}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (of_model("model_type: TENSORFLOW"), r"Model 'a': Illegal setting both model_type\(deprecated\) and model_pl"),
        (of_model("").replace('"tensorflow"', '"sklearn"'), r"Model 'a': .*'sklearn', expected .*\"tensorflow\""),
        (of_model("").replace('model_platform: "tensorflow"', ""), r"Model 'a': `model_platform` is missing"),
        (of_model("").replace("/a", "models/a"), r"model a to have an absolute path .*base_path\(\)=models/a"),
        (of_model("").replace("/a", "gs://bucket/a"), r"absolute path.*gs://bucket/a"),
        (of_model("").replace('name: "a"', ""), r"A model has no `name`"),
        (of_model("model_version_policy { specific { } }"), r"Model 'a': `specific` names no version"),
        (of_model("model_version_policy { specific { versions: -1 } }"), r"Model 'a': .*numbers of 0 or more"),
        (of_model('version_labels { key: "" value: 1 }'), r"Model 'a': label '' points to version 1"),
        (
            of_model('} config { name: "a" base_path: "/b" model_platform: "tensorflow"'),
            r"Illegal to list model a multiple times in config list",
        ),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelsConfig.parse(text)


def test_latest_of_zero_is_one_as_in_tensorflow_serving() -> None:
    (model,) = ModelsConfig.parse(of_model("model_version_policy { latest { num_versions: 0 } }")).models
    assert model.policy == Latest(1)
    with pytest.raises(ConfigError, match="`latest` asks for 0 versions"):
        Latest(0)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read .*absent\.config: .*No such file.*\nmodel_config_list"):
        ModelsConfig.read(tmp_path / "absent.config")


def test_a_relative_folder_given_in_python_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (model,) = ModelsConfig.of_one("ctr", "export").models
    assert model.base_path == tmp_path / "export"
