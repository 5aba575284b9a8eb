"""What the benchmark of routers deals out and adds up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from router_aiq import Curves, compare_aiq
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


def curves_of(rows: Sequence[int], good: bool) -> Curves:
    """A router that knows which of a cheap and a dear model is right, or always the wrong one."""
    quality = np.eye(2)[np.array(rows) % 2]
    cost = np.tile([1.0, 3.0], (len(rows), 1))
    success = quality if good else 1 - quality
    told = {"router": success.astype(np.float32), "lots": np.full(quality.shape, 0.5, dtype=np.float32)}
    return Curves.of({name: 2 * each - 1 for name, each in told.items()}, told, quality, cost, np.array(rows))


def test_aiq_is_the_mean_of_splits_and_its_interval_draws_a_prompt_for_all_of_them() -> None:
    first, second = curves_of(range(20), good=True), curves_of(range(10, 40), good=False)
    alone = compare_aiq([first], 20, "router", ["lots"])
    both = compare_aiq([first, second], 40, "router", ["lots"])
    # By the cheap model alone .5 for 1 USD; with the dear one where it is right 1 for 2 USD: .875 from 1 to 3.
    assert alone["router"] == pytest.approx(0.875, abs=1e-4)
    assert alone["lots"] == pytest.approx(0.5, abs=1e-4)
    assert both["router"] == pytest.approx((first.aiq("router")[0] + second.aiq("router")[0]) / 2, abs=1e-4)
    low, high = both["router - lots"]["interval"]
    assert low < both["router - lots"]["estimate"] < high
