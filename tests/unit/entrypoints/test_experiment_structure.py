"""An experiment is checked whole: every problem at once, each with its path, and nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest

from fusionapp.domain.errors import ConfigurationError
from fusionapp.entrypoints.experiment.encoder_tables import HuggingFaceSettings, LexicalSettings
from fusionapp.entrypoints.experiment.structure import ENCODERS, structure


def experiment(**tables: Any) -> dict[str, Any]:
    """The smallest experiment, with some tables replaced."""
    whole = {"dataset": {"train": "train.csv"}, "encoders": {"lexical": {"adapter": "lexical"}}}
    return {**whole, **tables}


def problems(**tables: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        structure(experiment(**tables))
    return list(caught.value.problems)


def test_the_smallest_experiment_takes_every_default() -> None:
    found = structure(experiment())
    assert (found.name, found.seed, found.train.seeds, found.fusion.kind) == ("experiment", 0, 5, "concat")
    assert found.encoders == {"lexical": LexicalSettings(adapter="lexical")}


def test_every_problem_is_reported_at_once_with_its_path() -> None:
    found = problems(
        name="a/b",
        sead=1,
        dataset={"train": 4, "drop_duplicates": "yes"},
        encoders={"a": {"model": "m", "layers": []}, "b": {"adapter": "lexicl"}, "c": {}, "d": 3},
        fusion={"residual": True},
        train={"learning_rate": "fast", "dropout": 1.0, "seeds": 0},
        evaluate={"costs": [0.0], "draws": 10},
    )
    assert {line.split(":")[0] for line in found} == {
        "name",
        "sead",
        "dataset.train",
        "dataset.drop_duplicates",
        "encoders.a.layers",
        "encoders.b.adapter",
        "encoders.c.model",
        "encoders.d",
        "fusion.residual",
        "train.learning_rate",
        "train.dropout",
        "train.seeds",
        "evaluate.costs",
        "evaluate.draws",
    }


def test_the_message_of_a_wrong_type_says_what_was_expected_and_what_came() -> None:
    assert problems(train={"learning_rate": "fast"}) == ["train.learning_rate: expected a number, got 'fast'"]


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("train", "seeds", "3"),
        ("train", "seeds", 3.0),
        ("train", "seeds", True),
        ("train", "dropout", True),
        ("train", "dropout", "0.1"),
        ("train", "dropout", None),
        ("train", "learning_rate", float("inf")),
        ("train", "learning_rate", float("nan")),
        ("train", "hidden_dims", 512),
        ("train", "hidden_dims", [512, "256"]),
        ("train", "hidden_dims", {"0": 512}),
        ("train", "device", 0),
        ("fusion", "residual", 1),
        ("fusion", "residual", "true"),
        ("dataset", "text", 1),
        ("dataset", "id", "paper_id"),
        ("evaluate", "draws", 1e4),
        ("storage", "adapter", "zarr"),
        ("task", "kind", "cluster"),
    ],
)
def test_no_value_is_converted_to_the_type_that_is_wanted(table: str, key: str, value: Any) -> None:
    whole = {"dataset": {"train": "train.csv"}}
    found = problems(**{table: {**whole.get(table, {}), key: value}})
    assert [line.split(":")[0] for line in found] == [f"{table}.{key}"]


def test_a_whole_number_is_a_number() -> None:
    dropout = structure(experiment(train={"dropout": 0})).train.dropout
    assert dropout == 0.0
    assert isinstance(dropout, float)


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("train", "seeds", 0),
        ("train", "dropout", 1.0),
        ("train", "learning_rate", 0.0),
        ("train", "label_smoothing", -0.1),
        ("train", "validation_fraction", 0.0),
        ("train", "hidden_dims", [0]),
        ("storage", "shard_rows", 0),
        ("fusion", "sigma", 0.0),
        ("fusion", "dim", 0),
        ("evaluate", "costs", []),
        ("evaluate", "costs", [-1.0]),
    ],
)
def test_a_value_out_of_range_is_refused_under_its_own_key(table: str, key: str, value: Any) -> None:
    assert [line.split(":")[0] for line in problems(**{table: {key: value}})] == [f"{table}.{key}"]


def test_a_misspelt_key_is_answered_with_the_nearest_one() -> None:
    assert problems(train={"learning_rat": 0.1}) == [
        "train.learning_rat: unknown key; did you mean 'learning_rate'?"
    ]


def test_a_key_like_no_other_is_answered_with_those_there_are() -> None:
    (line,) = problems(storage={"zzz": 1})
    assert line == "storage.zzz: unknown key; known are adapter, root, shard_rows"


@pytest.mark.parametrize(
    ("tables", "path", "hint"),
    [
        ({"fusion": {"kind": "concat", "residual": True}}, "fusion.residual", "residual = false"),
        ({"fusion": {"kind": "matmul", "product_dim": 1000}}, "fusion.product_dim", "1024"),
        ({"fusion": {"kind": "quaternion", "product_dim": 1022}}, "fusion.product_dim", "divisible by 4"),
        ({"encoders": {}}, "encoders", "[encoders.minilm]"),
        (
            {"encoders": {"a": {"model": "m", "trust_remote_code": True}}},
            "encoders.a.trust_remote_code",
            "revision",
        ),
        ({"encoders": {"a": {"adapter": "lexical", "dim": 1000}}}, "encoders.a.dim", "power of two"),
        (
            {"encoders": {"a": {"adapter": "openai", "model": "m", "dim": 3, "dimensions": 4}}},
            "encoders.a.dim",
            "leave dim out",
        ),
        (
            {"encoders": {"a": {"adapter": "openai", "model": "m", "base_url": "http://u:p@a"}}},
            "encoders.a.base_url",
            "api_key_env",
        ),
        (
            {"encoders": {"a": {"adapter": "lexical", "word_ngrams": [2, 1]}}},
            "encoders.a.word_ngrams",
            "shortest <= longest",
        ),
        ({"dataset": {}}, "dataset.train", "train.csv"),
        ({"dataset": {"source": "huggingface"}}, "dataset.name", "DatasetDict"),
        ({"dataset": {"train": "t.csv", "template": "{a}"}}, "dataset.template", "text"),
        ({"train": {"sources": {"lexcal": {}}}}, "train.sources.lexcal", "did you mean 'lexical'?"),
        ({"train": {"sources": {"bert": {}}}}, "train.sources.bert", "the encoders are lexical"),
        (
            {"train": {"sources": {"lexical": {"normalize": "none"}}}},
            "train.sources.lexical.normalize",
            "is for dense sources, and 'lexical' is sparse",
        ),
        (
            {"encoders": {"a": {"model": "m"}}, "train": {"sources": {"a": {"idf": False, "dropout": 0.1}}}},
            "train.sources.a.idf",
            "is for sparse sources, and 'a' is dense",
        ),
    ],
)
def test_an_impossible_combination_is_refused_with_the_way_out(
    tables: dict[str, Any], path: str, hint: str
) -> None:
    (line,) = problems(**tables)
    assert line.startswith(f"{path}: ")
    assert hint in line


@pytest.mark.parametrize(
    ("tables", "paths"),
    [
        ({"fusion": {"kind": "concatt", "residual": True}}, ["fusion.kind"]),
        ({"dataset": {"source": "flies"}}, ["dataset.source"]),
        ({"dataset": 3}, ["dataset"]),
        ({"encoders": {"a": {"adapter": "lexicl", "dim": 4}}}, ["encoders.a.adapter"]),
        (
            {"encoders": {"a": {"model": "m", "trust_remote_code": True, "revision": 3}}},
            ["encoders.a.revision"],
        ),
        ({"encoders": 3}, ["encoders"]),
        ({"encoders": {}, "train": {"sources": {"a": {}}}}, ["encoders"]),
        (
            {
                "encoders": {"a": {"adapter": "lexicl"}, "b": {"adapter": "lexical"}},
                "train": {"sources": {"a": {"normalize": "none"}}},
            },
            ["encoders.a.adapter"],
        ),
        ({"encoders": {"a": {}}, "train": {"sources": {"a": {}}}}, ["encoders.a.model"]),
    ],
)
def test_a_problem_casts_no_shadow_on_the_keys_that_depend_on_it(
    tables: dict[str, Any], paths: list[str]
) -> None:
    assert [line.split(":")[0] for line in problems(**tables)] == paths


def test_a_key_of_the_other_kind_of_source_may_be_named_with_its_default() -> None:
    """As a run's resolved experiment names every key."""
    found = structure(experiment(train={"sources": {"lexical": {"normalize": "l2", "idf": False}}}))
    assert not found.train.sources["lexical"].idf


@pytest.mark.parametrize("adapter", ["lexicl", "opnai", 3, ["lexical"], {}])
def test_an_unknown_encoder_adapter_is_answered_with_those_there_are(adapter: Any) -> None:
    (line,) = problems(encoders={"a": {"adapter": adapter}})
    known = ", ".join(map(repr, ENCODERS))
    assert line.startswith(f"encoders.a.adapter: expected one of {known}, got ")


def test_an_encoder_without_an_adapter_is_a_transformer() -> None:
    assert structure(experiment(encoders={"m": {"model": "minilm"}})).encoders == {
        "m": HuggingFaceSettings(model="minilm")
    }


def test_encoders_keep_the_order_of_the_file() -> None:
    encoders = {name: {"adapter": "lexical"} for name in ("z", "a", "m")}
    assert list(structure(experiment(encoders=encoders)).encoders) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "name", ["", "..", ".hidden", "a/b", "/abs", "../up", "a\\b", "a\n", "ä", "-x", "a b"]
)
def test_a_name_that_could_leave_the_directory_of_runs_is_refused(name: str) -> None:
    (line,) = problems(name=name)
    assert line.startswith("name: ")


@pytest.mark.parametrize("name", ["../up", ".", "a/b", ""])
def test_an_encoder_name_that_could_leave_its_directory_is_refused(name: str) -> None:
    (line,) = problems(encoders={name: {"adapter": "lexical"}})
    assert line.startswith(f"encoders.{name}: ")


def test_what_was_given_is_not_changed() -> None:
    given = experiment(train={"seeds": "x"})
    with pytest.raises(ConfigurationError):
        structure(given)
    assert given == experiment(train={"seeds": "x"})


def test_a_shard_of_more_rows_than_there_can_be_is_refused_before_anything_is_read() -> None:
    (line,) = problems(dataset={"train": "train.csv"}, storage={"shard_rows": 10**20})

    assert line.startswith("storage.shard_rows: must be <= ")
