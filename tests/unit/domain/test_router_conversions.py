from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE, Battles, ScoreMatrix
from fusionapp.domain.routing.comparisons import (
    balance,
    battles_among,
    comparisons,
    enough_compared,
    positions,
    scores_among,
)
from fusionapp.domain.routing.conversions import battles_of_both, battles_of_scores, scores_of_battles

MODELS = ("a", "b", "c", "d")


def matrix(quality: NDArray[np.float64]) -> ScoreMatrix:
    models = [f"m{i}" for i in range(quality.shape[1])]
    return ScoreMatrix(models, quality, quality * 1e-3, quality * 2)


def random_quality(seed: int, prompts: int = 20, models: int = 4) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    quality = rng.integers(0, 11, size=(prompts, models)) / 10
    return np.where(rng.random(quality.shape) < 0.25, np.nan, quality)


def battles(rows: list[tuple[int, int, int, int]], models: tuple[str, ...] = MODELS) -> Battles:
    prompts, first, second, outcome = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Battles(models, prompts, first, second, outcome.astype(np.int8))


def rows_of(some: Battles) -> list[tuple[int, ...]]:
    columns = (some.prompts, some.first, some.second, some.outcome)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_battles_agree_with_a_loop_over_pairs() -> None:
    quality = random_quality(0)
    expected = []
    for prompt, row in enumerate(quality.tolist()):
        for (i, a), (j, b) in combinations(enumerate(row), 2):
            if not np.isnan([a, b]).any():
                tenths = round(10 * a) - round(10 * b)
                outcome = TIE if abs(tenths) < 2 else (FIRST if tenths > 0 else SECOND)
                if max(a, b) < 0.4:
                    outcome = BOTH_BAD
                expected.append((prompt, i, j, outcome))
    assert rows_of(battles_of_scores(matrix(quality), tie_below=0.2, bad_below=0.4)) == expected


def test_equal_qualities_tie_without_a_threshold() -> None:
    assert rows_of(battles_of_scores(matrix(np.array([[0.1 + 0.2, 0.3]])))) == [(0, 0, 1, TIE)]


def test_a_decimal_difference_at_the_threshold_is_no_tie() -> None:
    assert rows_of(battles_of_scores(matrix(np.array([[0.3, 0.2]])), tie_below=0.1)) == [(0, 0, 1, FIRST)]


def test_battles_of_both_kinds_are_ordered_by_prompt_and_none_is_lost() -> None:
    made, given = (
        battles([(0, 0, 1, FIRST), (2, 0, 1, TIE)]),
        battles([(2, 1, 0, SECOND), (1, 2, 3, BOTH_BAD)]),
    )
    assert rows_of(battles_of_both(made, given)) == [
        (0, 0, 1, FIRST),
        (1, 2, 3, BOTH_BAD),
        (2, 0, 1, TIE),
        (2, 1, 0, SECOND),
    ]


def test_win_shares_agree_with_a_loop() -> None:
    some = battles_of_scores(matrix(random_quality(2)), tie_below=0.2, bad_below=0.4)
    won: dict[tuple[int, int], list[float]] = {}
    for prompt, first, second, outcome in rows_of(some):
        shares = {FIRST: (1, 0), SECOND: (0, 1), TIE: (0.5, 0.5), BOTH_BAD: (0, 0)}[outcome]
        won.setdefault((prompt, first), []).append(shares[0])
        won.setdefault((prompt, second), []).append(shares[1])
    found = scores_of_battles(some, 20)
    for prompt in range(20):
        for model in range(4):
            expected = np.mean(won.get((prompt, model), [np.nan]))
            np.testing.assert_allclose(found.quality[prompt, model], expected)
    assert np.isnan(found.cost).all()


def test_win_shares_are_scipys_binned_means() -> None:
    from scipy.stats import binned_statistic_2d

    some = battles_of_scores(matrix(random_quality(3)), tie_below=0.2)
    prompts, models = np.tile(some.prompts, 2), np.concatenate([some.first, some.second])
    shares = np.concatenate([1 + some.outcome, 1 - some.outcome]) / 2
    edges = [np.arange(21) - 0.5, np.arange(5) - 0.5]
    oracle = binned_statistic_2d(prompts, models, shares, "mean", bins=edges).statistic
    np.testing.assert_allclose(scores_of_battles(some, 20).quality, oracle)


@given(st.integers(0, 500))
def test_there_and_back_keeps_the_order_within_every_prompt(seed: int) -> None:
    quality = np.random.default_rng(seed).permuted(np.linspace(0, 1, 5)[None].repeat(6, 0), axis=1)
    back = scores_of_battles(battles_of_scores(matrix(quality)), 6).quality
    np.testing.assert_array_equal(back.argsort(1), quality.argsort(1))


LOPSIDED = battles([(0, 0, 1, FIRST)] * 6 + [(1, 1, 2, TIE)] * 3 + [(2, 2, 3, SECOND)] * 2)


def test_comparisons_count_both_sides() -> None:
    assert comparisons(LOPSIDED).tolist() == [6, 9, 5, 2]


def test_leaving_models_out_goes_on_until_all_have_enough() -> None:
    """d has 2; without it c has only 3 of its 5."""
    assert enough_compared(LOPSIDED, 4) == ["a", "b"]
    assert enough_compared(LOPSIDED, 3) == ["a", "b", "c"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)).filter(lambda p: p[0] != p[1]), min_size=1),
    st.integers(1, 4),
)
def test_every_model_left_has_enough_battles_among_those_left(
    pairs: list[tuple[int, int]], minimum: int
) -> None:
    some = battles([(0, a, b, FIRST) for a, b in pairs])
    try:
        kept = enough_compared(some, minimum)
    except UsageError:
        return
    among = battles_among(some, kept)
    assert comparisons(among).min() >= minimum


def test_too_high_a_minimum_says_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"min_model_comparisons 1000 .* most compared of 4 has 9"):
        enough_compared(LOPSIDED, 1000)


def test_battles_among_some_models_are_renumbered_in_their_order() -> None:
    among = battles_among(LOPSIDED, ["c", "b"])
    assert among.models == ("c", "b")
    assert rows_of(among) == [(1, 1, 0, TIE)] * 3


def test_scores_among_some_models_keep_quality_cost_and_latency() -> None:
    scores = matrix(random_quality(4))
    among = scores_among(scores, ["m2", "m0"])
    np.testing.assert_array_equal(among.quality, scores.quality[:, [2, 0]])
    np.testing.assert_array_equal(among.cost, scores.cost[:, [2, 0]])
    np.testing.assert_array_equal(among.latency, scores.latency[:, [2, 0]])


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="unknown model 'gpt-9'; known are a, b, c, d"):
        positions(["a", "gpt-9"], MODELS)


def test_weights_agree_with_a_loop() -> None:
    counts = Counter(LOPSIDED.first.tolist()) + Counter(LOPSIDED.second.tolist())
    raw = [1 / min(counts[a], counts[b]) for _, a, b, _ in rows_of(LOPSIDED)]
    found = balance(LOPSIDED)
    np.testing.assert_allclose(found.weights, np.array(raw) / np.mean(raw))
    assert found.effective == pytest.approx(sum(raw) ** 2 / sum(w * w for w in raw))


def test_the_effective_number_of_battles_is_scipys_variance_in_disguise() -> None:
    """Kish: n / (1 + cv^2)."""
    from scipy.stats import variation

    found = balance(LOPSIDED)
    assert found.effective == pytest.approx(len(LOPSIDED.prompts) / (1 + variation(found.weights) ** 2))


@given(st.integers(0, 500))
def test_weights_have_mean_one_and_raise_the_rarest_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 4, 50)
    second = (first + rng.integers(1, 4, 50)) % 4
    keep = (np.maximum(first, second) < 3) | (rng.random(50) < 0.3)  # the last model is rare
    some = battles([(0, a, b, FIRST) for a, b in zip(first[keep], second[keep], strict=True)])
    found = balance(some)
    assert found.weights.mean() == pytest.approx(1.0)
    assert found.weighed_share.sum() == pytest.approx(1.0)
    rarest = np.where(found.comparisons > 0, found.comparisons, 999).argmin()
    assert found.weighed_share[rarest] >= found.share[rarest] - 1e-12


def test_no_battles_to_weigh_are_refused() -> None:
    with pytest.raises(UsageError, match="no battles"):
        balance(battles([]))
