"""Where an experiment's values come from, and which source wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints.experiment.environment import Environment, parse_dotenv, read_environment
from fusionapp.entrypoints.experiment.load import load_experiment, parse_value, runs_directory
from fusionapp.entrypoints.experiment.structure import unstructure

TOML = """
name = "emotions"
[dataset]
train = ["a.csv", "b.csv"]
id = ["paper"]
[encoders.minilm]
model = "minilm"
layers = [-2, -1]
[encoders.lexical]
adapter = "lexical"
[train]
dropout = 0.25
seeds = 3
[fusion]
kind = "gated"
residual = true
"""
PLAIN: dict[str, Any] = {
    "name": "emotions",
    "dataset": {"train": ["a.csv", "b.csv"], "id": ["paper"]},
    "encoders": {"minilm": {"model": "minilm", "layers": [-2, -1]}, "lexical": {"adapter": "lexical"}},
    "train": {"dropout": 0.25, "seeds": 3},
    "fusion": {"kind": "gated", "residual": True},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "e.toml"
    path.write_text(TOML, encoding="utf-8")
    return path


def test_toml_json_yaml_a_dict_and_the_object_describe_the_same_experiment(
    tmp_path: Path, file: Path
) -> None:
    (tmp_path / "e.json").write_text(json.dumps(PLAIN), encoding="utf-8")
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(PLAIN, sort_keys=False), encoding="utf-8")
    from_toml = load_experiment(file)
    assert load_experiment(str(tmp_path / "e.json")) == from_toml
    assert load_experiment(tmp_path / "e.yaml") == from_toml
    assert load_experiment(PLAIN) == from_toml
    assert load_experiment(from_toml) == from_toml


def test_a_run_directory_holds_its_experiment_and_gives_it_its_name(tmp_path: Path, file: Path) -> None:
    run = tmp_path / "renamed"
    run.mkdir()
    (run / "experiment.json").write_text(json.dumps(unstructure(load_experiment(file))), encoding="utf-8")
    found = load_experiment(run)
    assert found.name == "renamed"
    assert found.fusion == load_experiment(file).fusion
    assert runs_directory(run, "runs") == str(tmp_path)
    assert runs_directory(file, "runs") == "runs"


def test_a_flag_beats_set_which_beats_the_file_which_beats_the_environment(file: Path) -> None:
    sets, flags = ["train.seeds=4", "fusion.kind=moe"], {"train.seeds": 7}
    environment = {"train.seeds": 9, "train.epochs": 8, "storage.root": "elsewhere"}
    found = load_experiment(file, sets, flags, environment)
    assert (found.train.seeds, found.fusion.kind, found.train.dropout) == (7, "moe", 0.25)
    assert (found.train.epochs, found.storage.root) == (8, "elsewhere")


def test_the_environment_beats_dotenv_and_both_only_give_defaults(tmp_path: Path, file: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text("EMBEDDING_DIR=from-file\nDATA_DIR=data\n", encoding="utf-8")
    found = read_environment({"EMBEDDING_DIR": "from-environment"}, dotenv)
    assert found == Environment(None, "data", "from-environment")
    assert load_experiment(file, defaults=found.defaults()).storage.root == "from-environment"
    chosen = load_experiment(file, ["storage.root=mine"], defaults=found.defaults())
    assert chosen.storage.root == "mine"


def test_without_an_environment_embeddings_stand_under_a_relative_root(tmp_path: Path, file: Path) -> None:
    assert read_environment({}, tmp_path / "none") == Environment()
    assert load_experiment(file, defaults=Environment().defaults()).storage.root == "embeddings"


def test_an_empty_variable_counts_as_none(tmp_path: Path) -> None:
    assert read_environment({"EMBEDDING_DIR": ""}, tmp_path / "none").defaults() == {}


def test_dotenv_lines_may_be_quoted_exported_and_commented() -> None:
    text = "# comment\nexport A=1\nB = 'two # words'\nC=three # three\n\nD=\nno line\n E =\"x=y\"\n"
    assert parse_dotenv(text) == {"A": "1", "B": "two # words", "C": "three", "D": "", "E": "x=y"}


def test_a_dotenv_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"\.env: cannot be read"):
        read_environment({}, tmp_path / ".env")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("0.5", 0.5),
        ("1e-4", 1e-4),
        ("true", True),
        ("[1, 2]", [1, 2]),
        ("{a = 1}", {"a": 1}),
        ('"3"', "3"),
        ("quaternion", "quaternion"),
        ("data/train.csv", "data/train.csv"),
        ("a = b", "a = b"),
        ("", ""),
        ("1\nb = 2", "1\nb = 2"),
    ],
)
def test_a_set_value_is_toml_where_it_parses_and_else_a_string(text: str, value: Any) -> None:
    assert parse_value(text) == value


def test_set_reaches_tables_that_the_file_lacks(file: Path) -> None:
    found = load_experiment(file, ["evaluate.baselines=false", "encoders.e5.model=e5"])
    assert not found.evaluate.baselines
    assert list(found.encoders) == ["minilm", "lexical", "e5"]


@pytest.mark.parametrize("assignment", ["train.seeds", "=3", " =3"])
def test_a_set_without_key_or_value_says_how_it_is_written(file: Path, assignment: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE"):
        load_experiment(file, [assignment])


def test_a_set_below_a_value_that_is_no_table_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match=r"name\.x: cannot be set, because 'name' is not a table"):
        load_experiment(file, ["name.x=1"])


def test_flags_alone_describe_and_name_an_experiment() -> None:
    found = load_experiment(
        None,
        flags={"dataset.name": "r52", "dataset.source": "huggingface", "fusion.kind": "quaternion"},
        chosen_encoders=["gemma", "intfloat/e5-large-v2", "lexical"],
    )
    assert found.name == "r52-gemma-e5-large-v2-lexical-quaternion"
    assert list(found.encoders) == ["gemma", "e5-large-v2", "lexical"]


def test_models_of_the_same_last_name_are_both_kept() -> None:
    found = load_experiment(PLAIN, chosen_encoders=["a/bert", "b/bert"])
    assert [getattr(one, "model", None) for one in found.encoders.values()] == ["a/bert", "b/bert"]


def test_chosen_encoders_keep_the_settings_that_the_file_gives_them(file: Path) -> None:
    found = load_experiment(file, chosen_encoders=["minilm"])
    assert found.encoders == {"minilm": load_experiment(file).encoders["minilm"]}


def test_the_device_reaches_training_and_every_encoder_that_has_one(file: Path) -> None:
    found = load_experiment(file, device="cuda:1")
    assert found.train.device == "cuda:1"
    assert getattr(found.encoders["minilm"], "device", None) == "cuda:1"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.toml", b"a = ", "cannot be parsed"),
        ("e.json", b"{", "cannot be parsed"),
        ("e.json", b"[1]", "expected a table of settings, got list"),
        ("e.json", b"[" * 100_000, "cannot be parsed"),
        ("e.yaml", b"a: [", "cannot be parsed"),
        ("e.yaml", b"!!python/object/apply:os.system ['true']", "cannot be parsed"),
        ("e.toml", b"\xff", "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_experiment_is_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{name}: {message}"):
        load_experiment(tmp_path / name)


def test_a_missing_file_and_a_directory_that_is_no_run_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: no such experiment file"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="not a run directory"):
        load_experiment(tmp_path)


def test_a_name_made_of_many_flags_is_cut_to_what_a_file_system_takes() -> None:
    encoders = [f"someone/model-number-{number}" for number in range(20)]
    assert len(load_experiment(None, flags={"dataset.train": "t.csv"}, chosen_encoders=encoders).name) == 100


def test_a_name_that_is_too_long_for_a_directory_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="name: must match"):
        load_experiment({**PLAIN, "name": "n" * 101})
