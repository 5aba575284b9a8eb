"""What the benchmark of routers deals out and adds up."""

from __future__ import annotations

import numpy as np
import pytest
from router_quality import compare, deal, pooled, summary

from fusionapp.domain.routing.metrics import Ratio


def test_a_split_deals_every_prompt_once_and_equal_texts_together() -> None:
    texts = [f"prompt {number // 2}" for number in range(2000)]
    parts = deal(texts, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(2000))
    assert [round(len(part) / 2000, 1) for part in parts] == [0.7, 0.1, 0.2]
    for part in parts:
        assert {row ^ 1 for row in part.tolist()} == set(part.tolist())


def test_splits_differ() -> None:
    texts = [str(number) for number in range(100)]
    assert not np.array_equal(deal(texts, 0)[2], deal(texts, 1)[2])


def test_gains_are_of_the_chosen_answers() -> None:
    quality = np.array([[0.2, 0.8], [0.5, 0.1]])
    first, second = np.array([[1.0, 0.0]] * 2), np.array([[0.0, 1.0]] * 2)
    scores = {"router": quality, "base": first, "ridge": first, "knn": second, "best_single": first}
    gains, accuracies = compare(scores, quality)
    np.testing.assert_allclose(gains["router - base"].total, [0.6, 0.0])
    assert gains["router - knn"].value == pytest.approx(0.2)
    assert gains["ridge - best_single"].value == 0
    assert accuracies["router"].value == 1


def test_splits_are_pooled_by_prompt() -> None:
    one = Ratio(np.array([0.5, 0.1]), np.ones(2))
    two = Ratio(np.array([0.3]), np.ones(1))
    found = pooled([({"gain": one}, np.array([0, 2])), ({"gain": two}, np.array([2]))], 4)["gain"]
    np.testing.assert_allclose(found.total, [0.5, 0, 0.4, 0])
    np.testing.assert_allclose(found.count, [1, 0, 2, 0])
    assert summary({"gain": found}, {})["quality"]["gain"]["estimate"] == pytest.approx(0.3)
