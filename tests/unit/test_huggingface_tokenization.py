from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import KINDS, TEXTS, save_tiny, tiny_model
from tokenizers import Tokenizer, models

from fusionapp.adapters.model_files.tokenization import TextTokenizer
from fusionapp.domain.errors import UsageError


def library(kind: str) -> Any:
    from transformers import AutoTokenizer

    loader: Any = AutoTokenizer
    return loader.from_pretrained(tiny_model(kind))


def ours(kind: str, max_length: int = 96, **settings: Any) -> TextTokenizer:
    return TextTokenizer(library(kind).backend_tokenizer, settings.pop("prefix", ""), max_length, **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_model_is_the_same_each_time_it_is_made(kind: str, tmp_path: Path) -> None:
    again = save_tiny(kind, tmp_path)

    assert {file.name: file.read_bytes() for file in again.iterdir()} == {
        file.name: file.read_bytes() for file in tiny_model(kind).iterdir()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_the_transformers_tokenizer(kind: str) -> None:
    tokens = ours(kind)(TEXTS)

    assert [ids.tolist() for ids in tokens.ids] == library(kind)(list(TEXTS))["input_ids"]
    assert not tokens.truncated.any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_text_keeps_its_special_tokens_as_transformers_does(kind: str) -> None:
    tokens = ours(kind, max_length=9)(TEXTS)

    expected = library(kind)(list(TEXTS), truncation=True, max_length=9)["input_ids"]
    assert [ids.tolist() for ids in tokens.ids] == expected
    assert tokens.truncated.tolist() == [len(ids) > 9 for ids in library(kind)(list(TEXTS))["input_ids"]]


@pytest.mark.parametrize("kind", ["bert", "roberta", "llama", "qwen2"])
@pytest.mark.parametrize(
    "text", ["rain " * 5000, "rain" * 5000, " " * 9000 + "rain", "\n" * 9000 + "rain fell"]
)
def test_cutting_before_tokenising_changes_no_id(kind: str, text: str) -> None:
    tokens = ours(kind, max_length=32)([text])

    expected = library(kind)([text], truncation=True, max_length=32)["input_ids"]
    assert tokens.ids[0].tolist() == expected[0]
    assert tokens.truncated[0] == (len(library(kind)(text)["input_ids"]) > 32)


def test_a_real_tokenizer_knows_its_words() -> None:
    tokenizer = library("bert")

    assert tokenizer.convert_ids_to_tokens(ours("bert")(["happy dog"]).ids[0].tolist()) == [
        "[CLS]",
        "happy",
        "dog",
        "[SEP]",
    ]


def test_the_prefix_stands_before_every_text_and_its_length_is_known() -> None:
    plain, prefixed = ours("bert"), ours("bert", prefix="query: ")

    assert prefixed(["a day"]).ids[0].tolist() == plain(["query: a day"]).ids[0].tolist()
    opening = prefixed(["a day"]).ids[0][: prefixed.prefix_length]
    assert opening.tolist() == plain(["query:"]).ids[0][:-1].tolist()


def test_a_closing_token_ends_cut_texts_too() -> None:
    tokens = ours("llama", max_length=5, closing=2)(["a", "rain " * 50])

    assert [int(ids[-1]) for ids in tokens.ids] == [2, 2]
    assert len(tokens.ids[1]) == 5


def test_text_is_lower_cased_where_the_model_wants_it() -> None:
    folded = ours("qwen2", lower_case=True)(["RAIN Day"])

    assert folded.ids[0].tolist() == ours("qwen2")(["rain day"]).ids[0].tolist()


def test_counts_include_special_tokens_and_what_would_be_cut() -> None:
    tokenizer = ours("bert", max_length=6)

    assert tokenizer.count(["dog", "dog " * 100]) == [3, 102]


def test_a_prefix_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(UsageError, match="max_length: 6 leaves no token"):
        ours("bert", max_length=6, prefix="the quick brown fox jumps ")


def test_a_tokenizer_that_knows_no_letters_is_refused() -> None:
    empty = Tokenizer(models.BPE())

    with pytest.raises(UsageError, match="letter 'a'"):
        TextTokenizer(empty, "", 8)
