from __future__ import annotations

from collections import Counter

import pytest

from fusionapp.domain.catalogue import CARDS, find_card, similar_names


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("gemma", "google/gemma-2-2b"),
        ("qwen", "Qwen/Qwen2.5-7B"),
        ("llama", "meta-llama/Llama-2-7b-chat-hf"),
        ("falcon", "tiiuae/Falcon3-7B-Instruct"),
        ("mistral", "mistralai/Mistral-7B-v0.3"),
        ("nv_embed", "nvidia/NV-Embed-v2"),
        ("e5", "intfloat/e5-large-v2"),
        ("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2"),
        ("bge-large-en-v1.5", "BAAI/bge-large-en-v1.5"),
        ("E5-large-v2", "intfloat/e5-large-v2"),
        ("all-MiniLM-L12-v2", "sentence-transformers/all-MiniLM-L12-v2"),
        ("sentence-transformers/all-mpnet-base-v2", "sentence-transformers/all-mpnet-base-v2"),
        ("Qwen2.5-0.5B-Instruct", "Qwen/Qwen2.5-0.5B-Instruct"),
    ],
)
def test_a_card_is_found_by_alias_by_model_name_and_by_hub_id(name: str, model: str) -> None:
    card = find_card(name)

    assert card is not None
    assert card.model == model


def test_no_two_cards_share_a_name() -> None:
    names = Counter(
        name
        for card in CARDS
        for name in {
            name.lower() for name in (card.alias, card.model, card.model.partition("/")[2], *card.names)
        }
    )

    assert [name for name, count in names.items() if count > 1] == []


def test_an_unknown_name_has_no_card() -> None:
    assert find_card("word2vec") is None


def test_names_that_look_alike_are_listed() -> None:
    assert "gemma" in similar_names("gema")
    assert similar_names("zzzzzzzz") == []


def test_bge_reads_its_first_token_and_e5_wants_a_prefix() -> None:
    for size in ("large", "base", "small"):
        bge, e5 = find_card(f"bge-{size}"), find_card(f"e5-{size}")
        assert bge is not None
        assert e5 is not None
        assert bge.pooling == "cls"
        assert (e5.prefix, e5.query_prefix, e5.passage_prefix) == ("query: ", "query: ", "passage: ")
