"""Settings of single encoders by flag, and a batch counted in texts."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.encoder_flags import EncoderFlags
from fusionapp.entrypoints.text_batches import texts_in_batch

ENCODERS: dict[str, Any] = {
    "bge-large": {"model": "bge-large"},
    "e5-large": {"model": "e5-large"},
    "minilm": {"model": "minilm"},
    "qwen": {"model": "qwen"},
    "own": {"model": "models/own"},
    "lexical": {"adapter": "lexical"},
    "served": {"adapter": "openai", "model": "text-embedding-3-small"},
}


def put(**flags: Any) -> dict[str, Any]:
    encoders = deepcopy(ENCODERS)
    EncoderFlags(**flags).put(encoders)
    return encoders


def test_a_prefix_keeps_its_blanks_and_equals_signs() -> None:
    encoders = put(prefixes=["e5-large=passage: ", "own=a=b: "])
    assert encoders["e5-large"]["prefix"] == "passage: "
    assert encoders["own"]["prefix"] == "a=b: "
    assert "prefix" not in encoders["bge-large"]


def test_an_empty_prefix_is_no_prefix_rather_than_the_default_one() -> None:
    assert put(prefixes=["e5-large="])["e5-large"]["prefix"] == ""


@pytest.mark.parametrize("name", ["bge-large-en-v1.5", "BAAI/bge-large-en-v1.5"])
def test_an_encoder_is_found_by_any_name_of_its_model(name: str) -> None:
    assert put(max_lengths=[f"{name}=256"])["bge-large"]["max_length"] == 256


def test_normalize_can_be_turned_on_and_off() -> None:
    encoders = put(normalized=["own", "minilm=false"])
    assert encoders["own"]["normalize"] is True
    assert encoders["minilm"]["normalize"] is False


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"prefixes": ["e5-lrge=passage: "]},
            "--prefix e5-lrge=passage: : no such encoder; did you mean e5-large?",
        ),
        ({"max_lengths": ["zzz=3"]}, r"--max-length zzz=3: no such encoder; the encoders are bge-large, "),
        ({"prefixes": ["passage: "]}, "--prefix passage: : expected NAME=TEXT"),
        ({"max_lengths": ["own=long"]}, "--max-length own=long: expected NAME=N"),
        ({"max_lengths": ["own=0"]}, "--max-length own=0: expected NAME=N"),
        ({"normalized": ["own=yes"]}, "--normalize own=yes: expected NAME"),
        (
            {"prefixes": ["lexical=a"]},
            "--prefix lexical=a: the lexical adapter of lexical has no such setting",
        ),
    ],
)
def test_a_flag_that_cannot_be_followed_is_named(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        put(**flags)


def test_a_model_that_stands_for_two_encoders_must_be_named_by_one() -> None:
    encoders = {"a": {"model": "e5-large"}, "b": {"model": "intfloat/e5-large-v2"}}
    with pytest.raises(UsageError, match="several encoders are of that model; say which: a, b"):
        EncoderFlags(prefixes=["e5-large-v2=x"]).put(encoders)


def test_a_batch_of_texts_is_as_many_tokens_as_its_longest_texts_have() -> None:
    encoders = put(batch_size=32, max_lengths=["own=100"])
    tokens = {name: table.get("batch_tokens") for name, table in encoders.items()}
    assert tokens["bge-large"] == 32 * 512
    assert tokens["minilm"] == 32 * 256
    assert tokens["own"] == 32 * 100
    assert tokens["qwen"] == 32 * 512, "its 131,072 tokens would bound nothing"
    assert tokens["lexical"] is None


def test_a_served_model_takes_a_batch_of_texts_as_it_is() -> None:
    served = put(batch_size=8)["served"]
    assert served["batch_size"] == 8
    assert "batch_tokens" not in served


def test_batch_tokens_go_to_every_encoder_that_counts_tokens() -> None:
    encoders = put(batch_tokens=4096)
    assert {name for name, table in encoders.items() if "batch_tokens" in table} == {*ENCODERS} - {"lexical"}


def test_two_bounds_of_a_batch_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--batch-size and --batch-tokens"):
        EncoderFlags(batch_size=1, batch_tokens=1).check()


def test_what_a_batch_holds_is_told_in_texts_again() -> None:
    for table in put(batch_size=7).values():
        expected = None if table.get("adapter") == "lexical" else 7
        assert texts_in_batch(table, table.get("batch_tokens", 0)) == expected
