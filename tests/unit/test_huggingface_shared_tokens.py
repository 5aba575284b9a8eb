"""Encoders of one run that have the same tokenizer tokenise each shard once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.shared_tokens import SharedTokens
from fusionapp.adapters.model_files.tokenization import Tokens


class CountingTokenizer:
    """Counts the texts that it is asked for."""

    def __init__(self, encoder: HuggingFaceEncoder) -> None:
        self.texts = 0
        self._tokenize = encoder._tokenizer

    def __call__(self, texts: Sequence[str]) -> Tokens:
        self.texts += len(texts)
        return self._tokenize(texts)


def build(**settings: Any) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(
        str(tiny_model("bert")), device="cpu", dtype="float32", max_length=12, **settings
    )


@pytest.mark.parametrize("on_truncate", ["warn", "chunk"])
def test_the_second_time_tokens_come_from_the_folder_as_they_were(tmp_path: Path, on_truncate: str) -> None:
    tokenizer = CountingTokenizer(build(on_truncate=on_truncate))

    made, found = (SharedTokens(tmp_path, "a", tokenizer)(TEXTS) for _ in range(2))

    assert tokenizer.texts == len(TEXTS)
    assert [row.tolist() for row in found.ids] == [row.tolist() for row in made.ids]
    assert found.truncated.tolist() == made.truncated.tolist()
    assert (found.first is None) == (made.first is None)


def test_other_texts_or_another_tokenizer_find_nothing(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer(build())
    SharedTokens(tmp_path, "a", tokenizer)(TEXTS)

    SharedTokens(tmp_path, "a", tokenizer)(TEXTS[1:])
    SharedTokens(tmp_path, "b", tokenizer)(TEXTS)

    assert tokenizer.texts == 3 * len(TEXTS) - 1


def test_a_file_that_was_damaged_or_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer(build())
    SharedTokens(tmp_path, "a", tokenizer)(TEXTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:40])

    assert len(SharedTokens(tmp_path, "a", tokenizer)(TEXTS).ids) == len(TEXTS)
    assert len(SharedTokens(tmp_path / "absent", "a", tokenizer)(TEXTS).ids) == len(TEXTS)


def test_models_with_the_same_tokenizer_share_and_others_do_not() -> None:
    assert build()._tokenizer.fingerprint() == build(layers=(1,))._tokenizer.fingerprint()
    assert build()._tokenizer.fingerprint() != build(prefix="query: ")._tokenizer.fingerprint()
    other = HuggingFaceEncoder(str(tiny_model("roberta")), device="cpu", max_length=12)
    assert build()._tokenizer.fingerprint() != other._tokenizer.fingerprint()


def test_no_texts_leave_no_tokens(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer(build())

    assert [len(SharedTokens(tmp_path, "a", tokenizer)([]).ids) for _ in range(2)] == [0, 0]


def test_shared_tokens_give_the_same_vectors(tmp_path: Path) -> None:
    plain, sharing = build(), build(token_folder=str(tmp_path))
    plan = plain.plan(5)

    found = [np.asarray(sharing.encode(TEXTS, plan).embeddings) for _ in range(2)]

    expected = np.asarray(plain.encode(TEXTS, plan).embeddings).tobytes()
    assert [one.tobytes() for one in found] == [expected, expected]
