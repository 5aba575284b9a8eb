"""Hard negatives by an encoder's own ranking, and what is never one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.indexes import MemoryIndex

from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.application.services import mine_negatives
from fusionapp.application.services.mine_negatives import Mined, MineNegatives, with_negatives
from fusionapp.domain.retrieval.recipe import Mining, TuningRecipe
from fusionapp.entrypoints.gateways import scratch_directory

ANGLES = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5])
"""Of documents 0 to 5; query i is document i's own, so that nearness is the difference of numbers."""


def on_circle(angles: Any) -> Any:
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


PAIRS = PairSet(
    queries=[f"query {row}" for row in range(6)],
    documents=[f"text of its own {row}" for row in range(6)],
    query_ids=[f"q{row}" for row in range(6)],
    document_ids=[f"d{row}" for row in range(6)],
    pairs=np.stack([np.arange(6)] * 2, axis=1),
    grades=np.ones(6, dtype=np.int64),
    negatives=np.full((6, 0), -1, dtype=np.int64),
    topics=[None] * 6,
    labels=["even", "odd"] * 3,
)


def mine(pairs: PairSet = PAIRS, recipe: Mapping[str, Any] | None = None, **mining: Any) -> Mined:
    settings = TuningRecipe(
        mining=Mining(**{"negatives": 2, "most_similar": 1.0, **mining}),
        **{"near_duplicate": None, **(recipe or {})},
    )
    step = MineNegatives(lambda _: (on_circle(ANGLES), on_circle(ANGLES)), MemoryIndex(), scratch_directory)
    return step("model", settings, pairs)


def rows(mined: Mined) -> list[list[int]]:
    assert mined.rows is not None
    return [[row for row in of_pair if row >= 0] for of_pair in mined.rows.tolist()]


def test_the_nearest_documents_of_others_are_taken_best_first() -> None:
    found = rows(mine())
    assert found[0] == [1, 2]
    assert sorted(found[3]) == [2, 4]
    assert found[5] == [4, 3]


def test_a_querys_other_documents_are_none_of_its_negatives() -> None:
    pairs = attrs.evolve(
        PAIRS, pairs=np.concatenate([PAIRS.pairs, [[0, 1]]]), grades=np.ones(7, dtype=np.int64)
    )
    pairs = attrs.evolve(pairs, negatives=np.full((7, 0), -1, dtype=np.int64))
    found = rows(mine(pairs))
    assert found[0] == found[6] == [2, 3]


def test_a_document_with_the_text_of_the_querys_own_is_none() -> None:
    pairs = attrs.evolve(PAIRS, documents=["the same", "the same", *PAIRS.documents[2:]])
    assert rows(mine(pairs))[0] == [2, 3]


def test_documents_of_one_label_are_none_where_the_recipe_says_so() -> None:
    assert rows(mine(recipe={"mask_same_label": True}))[0] == [1, 3]


def test_the_best_ranked_are_skipped() -> None:
    assert rows(mine(skip=2))[0] == [3, 4]  # its own document is none of the two


def test_what_is_too_like_the_positive_is_left_out() -> None:
    found = rows(mine(most_similar=float(np.cos(0.25))))
    assert found[0] == [3, 4]


def test_a_margin_below_the_positive_is_kept() -> None:
    assert rows(mine(margin=float(1 - np.cos(0.15))))[0] == [2, 3]


def test_counts_are_of_what_was_found() -> None:
    mined = mine(depth=2, negatives=3)
    assert mined.summary() == {"pairs": 6, "found": sum(map(len, rows(mined))), "complete": 0}
    assert Mined.of_summary(mined.summary()).summary() == mined.summary()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows(mine())
    monkeypatch.setattr(mine_negatives, "_QUERIES_AT_ONCE", 4)
    assert rows(mine()) == whole


def test_mined_negatives_follow_those_of_the_data() -> None:
    own = attrs.evolve(PAIRS, negatives=np.full((6, 1), 5))
    joined = with_negatives(own, np.zeros((6, 2), dtype=np.int64))
    assert joined.negatives.tolist() == [[5, 0, 0]] * 6
    assert with_negatives(own, None) is own
