"""What answers cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.gathering import count_repeats, mean_by_cell
from fusionapp.domain.routing.prices import Price, Prices, estimate_tokens, mean_known

PRICES = Prices({"a": Price(2.0, 4.0), "b": Price(0.5, 1.0)})
amounts = st.floats(0, 1e6)


def test_a_cost_is_tokens_times_price_by_the_million() -> None:
    costs = PRICES.costs(["b", "a"], np.array([1000.0, 0.0]), np.array([100.0, 500.0]))
    np.testing.assert_allclose(costs, [[0.0006, 0.004], [0.0001, 0.002]])


@given(
    arrays.arrays(np.float64, 3, elements=amounts),
    arrays.arrays(np.float64, (3, 2), elements=st.one_of(amounts, st.just(math.nan))),
)
def test_costs_are_what_a_loop_finds(prompt_tokens: Any, answer_tokens: Any) -> None:
    costs = PRICES.costs(["a", "b"], prompt_tokens, answer_tokens)
    for row in range(3):
        for column, price in enumerate((PRICES.models["a"], PRICES.models["b"])):
            expected = (
                prompt_tokens[row] * price.input + answer_tokens[row, column] * price.output
            ) / 1_000_000
            np.testing.assert_allclose(costs[row, column], expected, rtol=1e-12)


@given(arrays.arrays(np.float64, 4, elements=amounts), st.floats(0.1, 10))
def test_costs_grow_with_prices(tokens: Any, factor: float) -> None:
    dearer = Prices(
        {name: Price(one.input * factor, one.output * factor) for name, one in PRICES.models.items()}
    )
    models, answers = ["a", "b"], np.array([10.0, 20.0])
    np.testing.assert_allclose(
        dearer.costs(models, tokens, answers), PRICES.costs(models, tokens, answers) * factor, rtol=1e-9
    )


def test_models_without_a_price_are_listed_and_their_costs_unknown() -> None:
    assert PRICES.missing(["c", "a", "d"]) == ["c", "d"]
    assert np.isnan(PRICES.costs(["c", "a"], np.ones(1), np.ones(2))).tolist() == [[True, False]]


@pytest.mark.parametrize("price", [None, "1", -1, math.inf, math.nan, True])
def test_a_price_that_is_none_names_its_model(price: object) -> None:
    table = {"gpt": {"input_price_usd_per_mtok": 1, "output_price_usd_per_mtok": price}}
    with pytest.raises(UsageError, match=r"prices.json: model 'gpt': output_price_usd_per_mtok is"):
        Prices.of(table, "prices.json")


def test_a_model_needs_a_table_of_prices() -> None:
    with pytest.raises(UsageError, match=r"model 'gpt': expected \{input_price_usd_per_mtok"):
        Prices.of({"gpt": 3})


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("abcd", 1), ("abcde", 2), ("编码编码", 3), ("\ud800", 1)]
)
def test_a_token_is_four_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(), st.text())
def test_a_longer_text_has_no_fewer_tokens(text: str, more: str) -> None:
    assert (
        estimate_tokens(text) <= estimate_tokens(text + more) <= estimate_tokens(text) + estimate_tokens(more)
    )


def test_means_are_of_what_is_known() -> None:
    counted = np.array([[1.0, math.nan, math.nan], [3.0, 5.0, math.nan]])
    np.testing.assert_array_equal(mean_known(counted), [2, 5, math.nan])
    np.testing.assert_array_equal(mean_known(counted, 9), [2, 5, 9])
    np.testing.assert_array_equal(mean_known(np.empty((0, 2)), 7), [7, 7])


@given(
    arrays.arrays(np.float64, (4, 3), elements=st.one_of(st.floats(0, 9), st.just(math.nan))),
)
def test_means_agree_with_numpy(counted: Any) -> None:
    known = [column[np.isfinite(column)] for column in counted.T]
    expected = [float(np.mean(column)) if len(column) else math.nan for column in known]
    np.testing.assert_allclose(mean_known(counted), expected, rtol=1e-12)


def expected_costs() -> ExpectedCosts:
    return ExpectedCosts(
        ("a", "b", "c", "d"),
        PRICES,
        np.array([100.0, math.nan, 5.0, math.nan]),
        np.array([9.0, 8.0, 7.0, math.nan]),
    )


def test_a_price_goes_before_a_measured_mean() -> None:
    np.testing.assert_allclose(expected_costs().expect(np.array([100.0])), [[0.0006, 8.0, 7.0, math.nan]])


def test_known_tokens_go_before_the_average() -> None:
    tokens = np.array([[math.nan, 10.0, math.nan, math.nan], [200.0, math.nan, 1.0, 1.0]])
    nan = math.nan
    np.testing.assert_allclose(
        expected_costs().priced(np.array([100.0, 100.0]), tokens),
        [[0.0006, 0.00006, nan, nan], [0.001, nan, nan, nan]],
    )


def test_expected_costs_pass_through_json() -> None:
    costs, prompts = expected_costs(), np.array([1.0, 1000.0])
    again = ExpectedCosts.of_json(costs.to_json())
    assert tuple(again.models) == costs.models
    np.testing.assert_array_equal(again.expect(prompts), costs.expect(prompts))


answers = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.one_of(st.floats(0, 1), st.just(math.nan))),
    max_size=20,
)


@given(answers)
def test_cells_hold_the_mean_of_their_known_answers(given_answers: list[tuple[int, int, float]]) -> None:
    prompts, models = (np.array([one[side] for one in given_answers], dtype=np.int64) for side in (0, 1))
    values = np.array([one[2] for one in given_answers], dtype=np.float64)
    expected = np.full((4, 3), math.nan)
    for row in range(4):
        for column in range(3):
            cell = [v for r, c, v in given_answers if (r, c) == (row, column) and not math.isnan(v)]
            if cell:
                expected[row, column] = sum(cell) / len(cell)
    np.testing.assert_allclose(mean_by_cell(prompts, models, values, (4, 3)), expected, rtol=1e-9, atol=1e-12)
    distinct = {(row, column) for row, column, _ in given_answers}
    assert count_repeats(prompts, models, 3) == len(given_answers) - len(distinct)


def test_costs_are_updated_by_those_of_other_models() -> None:
    one = ExpectedCosts(
        ("a", "b"), Prices({"a": Price(1.0, 2.0)}), np.array([10.0, 20.0]), np.array([0.5, 0.7])
    )
    other = ExpectedCosts(
        ("b", "c"), Prices({"b": Price(3.0, 4.0)}), np.array([1.0, np.nan]), np.array([np.nan, 0.9])
    )
    both = one.updated(other)
    assert list(both.models) == ["a", "b", "c"]
    np.testing.assert_allclose(both.expect(np.array([100.0])), [[120e-6, 304e-6, 0.9]])
    assert np.isnan(both.mean_cost[1])
