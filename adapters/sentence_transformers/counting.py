"""How many tokens a text has, told without the pipeline's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.tokenization import TextTokenizer, Tokens, load_backend
from fusionapp.adapters.sentence_transformers.pipeline import Pipeline
from fusionapp.domain.errors import CorruptArtifactError

_UNLIMITED = 10**9


class Counter(Protocol):
    """Counts tokens."""

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Each text as it is read, cut to the max length."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before anything is cut."""

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(texts,) tokens before anything is cut, and (texts,) True where a text is cut."""


class WordCounter:
    """Counts words, for pipelines that start from words and not from a Hugging Face tokenizer."""

    def __init__(self, max_length: int | None) -> None:
        self._limit = max_length or _UNLIMITED

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The words' number in place of their ids."""
        counts = self.count(texts)
        ids = [np.zeros(min(count, self._limit), dtype=np.int32) for count in counts]
        return Tokens(ids, np.array([count > self._limit for count in counts], dtype=bool))

    def count(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(text.split()) for text in texts]

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(texts,) words, and (texts,) True where there are more than are read."""
        counts = np.asarray(self.count(texts), dtype=np.int64)
        return counts, counts > self._limit


def load_counter(pipeline: Pipeline, prompt: str, max_length: int | None) -> Counter:
    """What counts the tokens of a pipeline's texts.

    Raises:
        UsageError: its transformer has no fast tokenizer, or max length leaves no room for text.
        CorruptArtifactError: its tokenizer cannot be read.
    """
    if pipeline.first.kind == "Transformer":
        backend = load_backend(pipeline.first.folder)
    elif (path := pipeline.first.folder / "tokenizer.json").is_file():
        from tokenizers import Tokenizer

        try:
            backend = Tokenizer.from_file(str(path))
        except Exception as error:  # the Rust library raises bare exceptions
            raise CorruptArtifactError(f"{path}: not a tokenizer ({error}); fetch the model again") from error
    else:
        return WordCounter(max_length)
    return TextTokenizer(backend, prompt, max_length or _UNLIMITED, lower_case=pipeline.lower_case)
