"""Pairs that a tiny encoder can learn, and runs over them."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.retrieval.recipe import TuningRecipe

_ASKED = ("fox", "dog", "house", "day", "rain", "quick", "brown", "lazy", "happy", "sad", "small", "red")
_MORE = ("the", "and", "very", "away", "from", "over", "today", "nobody", "never", "good", "signs", "numbers")

RECIPE = TuningRecipe(
    negatives_pool=8,
    epochs=6,
    learning_rate=1e-2,
    batch_tokens=4096,
    dtype="float32",
    device="cpu",
    evaluations=1,
    patience=100,
)


def toy_pairs(count: int = 48, seed: int = 0, hard: int = 0) -> PairSet:
    """Queries of two words; the document of each holds them in other words' company.

    Every word pair is drawn once, so that no two queries are alike.
    """
    random = np.random.default_rng(seed)
    words = [(a, b) for a in _ASKED for b in _ASKED if a < b]
    chosen = [words[row] for row in random.permutation(len(words))[:count]]
    queries = [" ".join(pair) for pair in chosen]
    documents = [
        " ".join([*random.choice(_MORE, int(random.integers(1, 4))), *random.permutation(pair)])
        for pair in chosen
    ]
    rows = np.arange(len(chosen))
    negatives = np.stack([(rows + 1 + shift) % len(rows) for shift in range(hard)], axis=1) if hard else None
    return PairSet(
        queries=queries,
        documents=documents,
        query_ids=[f"q{row}" for row in rows],
        document_ids=[f"d{row}" for row in rows],
        pairs=np.stack([rows, rows], axis=1),
        grades=np.ones(len(rows), dtype=np.int64),
        negatives=np.full((len(rows), 0), -1, dtype=np.int64) if negatives is None else negatives,
        topics=[pair[0] for pair in chosen],
        labels=[None] * len(rows),
    )


def recipe(method: str = "full", **changes: Any) -> TuningRecipe:
    """The recipe of these tests with changes."""
    tuning = FineTuning(method=method, rank=4, alpha=8.0, dropout=0.0)  # type: ignore[arg-type]  # one of its words
    return attrs.evolve(RECIPE, **{"finetuning": tuning, **changes})
