"""Tokens kept on disk for the next encoder that has the same tokenizer: a shard's texts are tokenised once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import Any
from zipfile import BadZipFile

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.tokenization import Tokens
from fusionapp.domain.embeddings import fingerprint_texts


@attrs.frozen
class SharedTokens:
    """A tokenizer that looks in a folder first.

    Attributes:
        folder: of this run alone; whoever made it removes it. One that cannot be written to is done without.
        fingerprint: of everything that changes a token.
        tokenize: makes the tokens of one shard's texts.
    """

    folder: Path
    fingerprint: str
    tokenize: Callable[[Sequence[str]], Tokens]

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """The tokens that another encoder left in the folder, else made now and left there."""
        start = perf_counter()
        name = sha256((self.fingerprint + fingerprint_texts(texts)).encode()).hexdigest()
        path = self.folder / f"{name}.npz"
        try:
            return _read(path, start)
        except (OSError, ValueError, KeyError, BadZipFile):
            tokens = self.tokenize(texts)
        with suppress(OSError):
            _write(path, tokens)
        return tokens


def _read(path: Path, start: float) -> Tokens:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        first = kept["first"] if "first" in kept.files else None
        tokens = Tokens.of_flat(kept["ids"], kept["lengths"], kept["truncated"], first)
        return attrs.evolve(tokens, seconds=perf_counter() - start)


def _write(path: Path, tokens: Tokens) -> None:
    """Under another name first: another worker may be reading."""
    temporary = path.with_name(f"{token_hex(8)}.tmp")
    arrays: dict[str, NDArray[Any]] = {
        "ids": tokens.flat,
        "lengths": tokens.lengths,
        "truncated": tokens.truncated,
    }
    if tokens.first is not None:
        arrays["first"] = tokens.first
    try:
        with temporary.open("xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
