"""Texts to embed: a file's, or pieces of the standard library's docstrings."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

TOKENS_PER_WORD = 1.75
"""Of docstrings, by a vocabulary of 30,000 word pieces."""


def file_texts(path: Path, column: str, rows: int) -> list[str]:
    """The first rows of a .csv, .tsv, .jsonl (each also .gz) or .parquet file; blank texts are left out."""
    from fusionapp.adapters.files.source import FileDatasetSource  # noqa: PLC0415

    examples = FileDatasetSource({"train": path}, column, label=None, limit=rows).read("train")
    return [example.text for example in examples if example.text.strip()]


def docstring_texts(rows: int, tokens: int, seed: int = 0) -> list[str]:
    """Runs of words out of the standard library's docstrings, of about so many tokens in the mean.

    Lengths are log-normal with sigma = 0.5, as those of real texts roughly are: the longest of a thousand is five
    times the median.
    """
    words = _words()
    random = np.random.default_rng(seed)
    mean = max(1.0, (tokens - 2) / TOKENS_PER_WORD)
    sizes = np.maximum(1, random.lognormal(np.log(mean) - 0.125, 0.5, rows)).astype(int)
    starts = random.integers(0, max(1, len(words) - int(sizes.max())), rows)
    return [" ".join(words[start : start + size]) for start, size in zip(starts, sizes, strict=True)]


@cache
def _words() -> list[str]:
    """Of all docstrings of the standard library's plain modules, in order."""
    return [word for text in _docstrings() for word in text.split()]


def _docstrings() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""
