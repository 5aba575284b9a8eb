"""Hashed n-grams against a fitted vocabulary, by the validation accuracy of the linear SVM over them alone.

    python benchmarks/vocabulary.py DIRECTORY [--rows N] [--costs 0.1 0.3 1 3]

DIRECTORY holds train and validation files of labelled texts (without the latter, a stratified tenth of train).
Three kinds of columns are compared, with and without IDF: our n-grams hashed into 2^16 ... 2^22 buckets; the very
same n-grams with a column for each that occurs in train (known by its 64-bit hash); and scikit-learn's
CountVectorizer over the same ranges. Then the ranges themselves, one at a time, hashed into 2^20 buckets and
fitted. The test split is never looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import attrs
import numpy as np
from labelled import Texts, read_directory
from result_file import save_result
from scipy.sparse import csr_array, hstack
from silence import Silence

from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.adapters.lexical.ngrams import find_ngrams, normalise
from fusionapp.adapters.linear.control import ScipyLinearControl
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.recipe import SourceRecipe

Range = tuple[int, int]
WORDS, CHARACTERS = (1, 2), (2, 5)
BUCKETS = (16, 18, 20, 22)
OTHER_RANGES: tuple[tuple[Range, Range], ...] = (
    ((1, 1), CHARACTERS),
    ((1, 3), CHARACTERS),
    (WORDS, (2, 4)),
    (WORDS, (3, 5)),
    (WORDS, (2, 6)),
)
CHUNK_ROWS = 2048


@attrs.frozen
class Columns:
    """Which columns texts are counted in.

    Attributes:
        kind: "hashed", "fitted" or "scikit-learn".
        words: shortest and longest word n-gram.
        characters: shortest and longest character n-gram.
        bits: hashed: buckets, as a power of two.
    """

    kind: str
    words: Range = WORDS
    characters: Range = CHARACTERS
    bits: int | None = None


def count(columns: Columns, train: Sequence[str], other: Sequence[str]) -> tuple[csr_array, csr_array]:
    """Raw counts of train and of other texts."""
    if columns.kind == "hashed":
        encoder = LexicalEncoder(columns.words, columns.characters, 2 ** (columns.bits or 20))
        found = [encoder.encode(texts, encoder.plan(len(texts))).embeddings for texts in (train, other)]
        return csr_array(found[0]), csr_array(found[1])
    if columns.kind == "fitted":
        known = np.unique(np.concatenate([hashes for _, _, hashes in _hashes(columns, train)]))
        return _look_up(columns, train, known), _look_up(columns, other, known)
    return _count_by_scikit_learn(columns, train, other)


def _hashes(columns: Columns, texts: Sequence[str]) -> Iterator[tuple[int, Any, Any]]:
    """First row, rows and 64-bit hashes of the n-grams of some texts at a time."""
    for start in range(0, len(texts), CHUNK_ROWS):
        some = [normalise(text) for text in texts[start : start + CHUNK_ROWS]]
        found = find_ngrams(some, columns.words, columns.characters)
        yield start, found.rows, found.hashes


def _look_up(columns: Columns, texts: Sequence[str], known: Any) -> csr_array:
    rows, places = [], []
    for start, some, hashes in _hashes(columns, texts):
        place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        there = known[place] == hashes
        rows.append(some[there] + start)
        places.append(place[there])
    cells = (np.concatenate(rows), np.concatenate(places))
    counts = csr_array((np.ones(len(cells[0]), np.float32), cells), shape=(len(texts), len(known)))
    counts.sum_duplicates()
    return counts


def _count_by_scikit_learn(
    columns: Columns, train: Sequence[str], other: Sequence[str]
) -> tuple[csr_array, csr_array]:
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415  # of the extra `dev`

    parts: list[tuple[Any, Any]] = []
    # Single letters and signs are words here, as they are in our n-grams.
    words = {"analyzer": "word", "ngram_range": columns.words, "token_pattern": r"(?u)\w+|[^\w\s]+"}
    characters = {"analyzer": "char_wb", "ngram_range": columns.characters}
    for settings in (words, characters):
        vectorizer = CountVectorizer(**settings, dtype=np.float32)
        parts.append((vectorizer.fit_transform(train), vectorizer.transform(other)))
    fitted, looked_up = (csr_array(hstack(some, format="csr")) for some in zip(*parts, strict=True))
    for counts in (fitted, looked_up):
        counts.sum_duplicates()
    return fitted, looked_up


def measure(columns: Columns, splits: Mapping[str, Texts], costs: Sequence[float]) -> list[dict[str, Any]]:
    """The best validation accuracy over `costs`, with and without IDF."""
    start = perf_counter()
    train, validation = count(columns, splits["train"].texts, splits["validation"].texts)
    counting = perf_counter() - start
    frequency = np.bincount(train.indices, minlength=train.shape[1])
    found = []
    for idf in (True, False):
        start = perf_counter()
        scores = ScipyLinearControl().fit(
            "linear_svm",
            int(splits["train"].labels.max()) + 1,
            LabelledEmbeddings({"lexical": train}, splits["train"].labels),
            LabelledEmbeddings({"lexical": validation}, splits["validation"].labels),
            {"lexical": validation},
            {"lexical": SourceRecipe(idf=idf)},
            costs,
            Silence(),
        )
        result = {
            **attrs.asdict(columns),
            "idf": idf,
            "validation_accuracy": max(scores.tried.values()),
            "cost": scores.cost,
            "columns": int((frequency > 1).sum()),
            "counting_seconds": counting,
            "fitting_seconds": perf_counter() - start,
        }
        print(result, flush=True)
        found.append(result)
    return found


def comparisons() -> list[Columns]:
    """What is measured, one axis at a time."""
    default = [Columns("hashed", bits=bits) for bits in BUCKETS]
    default += [Columns("fitted"), Columns("scikit-learn")]
    ranges = [
        Columns(kind, words, characters, bits)
        for words, characters in OTHER_RANGES
        for kind, bits in (("hashed", 20), ("fitted", None))
    ]
    return default + ranges


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, help="take the first train rows only")
    parser.add_argument("--costs", type=float, nargs="+", default=[0.1, 0.3, 1.0, 3.0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    splits, classes = read_directory(arguments.directory)
    splits["train"] = splits["train"].take(np.arange(len(splits["train"].texts))[: arguments.rows])
    results = [one for columns in comparisons() for one in measure(columns, splits, arguments.costs)]
    settings = {
        "data": arguments.directory.name,
        "classes": len(classes),
        "rows": {split: len(splits[split].texts) for split in ("train", "validation")},
        "costs": arguments.costs,
    }
    name = f"vocabulary_{arguments.directory.name}"
    print(save_result(name, settings, results, "cpu", arguments.output))


if __name__ == "__main__":
    main()
