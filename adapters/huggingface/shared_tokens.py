"""Tokens kept on disk for the next encoder that has the same tokenizer: a shard's texts are tokenised once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from zipfile import BadZipFile

import numpy as np

from fusionapp.adapters.model_files.tokenization import Tokens
from fusionapp.domain.embeddings import fingerprint_texts


def shared_tokens(
    folder: Path, tokenizer: str, texts: Sequence[str], tokenize: Callable[[Sequence[str]], Tokens]
) -> Tokens:
    """The tokens that another encoder left in the folder, else made now and left there.

    Args:
        folder: of this run alone; whoever made it removes it. One that cannot be written to is done without.
        tokenizer: fingerprint of everything that changes a token.
        texts: one shard's.
        tokenize: makes them.
    """
    start = perf_counter()
    path = folder / f"{sha256((tokenizer + fingerprint_texts(texts)).encode()).hexdigest()}.npz"
    try:
        return _read(path, start)
    except (OSError, ValueError, KeyError, BadZipFile):
        tokens = tokenize(texts)
    with suppress(OSError):
        _write(path, tokens)
    return tokens


def _read(path: Path, start: float) -> Tokens:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        flat, lengths = kept["ids"], kept["lengths"]
        ids = np.split(flat, lengths.cumsum()[:-1]) if len(lengths) else []
        first = kept["first"] if "first" in kept.files else None
        return Tokens(list(ids), kept["truncated"], first, perf_counter() - start)


def _write(path: Path, tokens: Tokens) -> None:
    """Under another name first: another worker may be reading."""
    temporary = path.with_name(f"{token_hex(8)}.tmp")
    arrays = {
        "ids": np.concatenate([np.zeros(0, np.int32), *tokens.ids]),
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
