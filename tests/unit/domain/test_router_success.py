"""Calibrated success, and how familiar a prompt is."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.calibration import HIGHEST_TEMPERATURE, LOWEST_TEMPERATURE
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.familiarity import familiar_below, unfamiliarity
from fusionapp.domain.routing.mapping import quality_of_score
from fusionapp.domain.routing.success import Isotonic, Temperature

Vector = NDArray[np.float64]


def answers(seed: int = 0, count: int = 60, levels: int | None = None) -> tuple[Vector, Vector]:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, count)
    if levels is not None:
        scores = np.round(scores * levels) / levels
    return scores, np.clip((scores + 1) / 2 + rng.normal(size=count) * 0.3, 0, 1)


def slow_isotonic(scores: Vector, quality: Vector) -> list[float]:
    """Max-min of block means at each distinct score, ascending (Barlow et al. 1972)."""
    levels = sorted(set(scores.tolist()))
    fitted = []
    for place in range(len(levels)):
        highest = -np.inf
        for start in levels[: place + 1]:
            means = [quality[(scores >= start) & (scores <= end)].mean() for end in levels[place:]]
            highest = max(highest, min(means))
        fitted.append(float(highest))
    return fitted


@pytest.mark.parametrize("levels", [None, 4])
def test_isotonic_agrees_with_the_max_min_formula(levels: int | None) -> None:
    scores, quality = answers(levels=levels)
    found = Isotonic.fit(scores, quality)(np.unique(scores))
    np.testing.assert_allclose(found, slow_isotonic(scores, quality), atol=1e-6)


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("seed", range(3))
def test_isotonic_agrees_with_scikit_learn(seed: int, levels: int | None) -> None:
    from sklearn.isotonic import IsotonicRegression

    scores, quality = answers(seed, levels=levels)
    grid = np.linspace(-1.2, 1.2, 200)
    oracle = IsotonicRegression(out_of_bounds="clip").fit(scores, quality).predict(grid)
    np.testing.assert_allclose(Isotonic.fit(scores, quality)(grid), oracle, atol=1e-6)


@given(st.integers(0, 300), st.integers(1, 30))
def test_isotonic_success_never_falls_and_keeps_the_mean(seed: int, count: int) -> None:
    scores, quality = answers(seed, count)
    found = Isotonic.fit(scores, quality)
    assert (np.diff(found(np.linspace(-1, 1, 50))) >= 0).all()
    assert found(scores).mean() == pytest.approx(quality.mean(), abs=1e-6)


def test_isotonic_keeps_no_corner_within_a_flat_stretch() -> None:
    found = Isotonic.fit(np.arange(6.0), np.array([0.5, 0.4, 0.3, 0.2, 0.9, 0.9]))
    assert found.scores.tolist() == [0, 3, 4, 5]


def test_answers_of_unknown_quality_have_no_say() -> None:
    scores, quality = answers()
    holed = np.concatenate([quality, [np.nan]])
    longer = np.concatenate([scores, [0.0]])
    grid = np.linspace(-1, 1, 20)
    np.testing.assert_array_equal(Isotonic.fit(longer, holed)(grid), Isotonic.fit(scores, quality)(grid))
    assert Temperature.fit(longer, holed) == Temperature.fit(scores, quality)


def test_success_has_the_shape_of_the_scores_and_is_float32() -> None:
    scores, quality = answers()
    for found in (Isotonic.fit(scores, quality), Temperature.fit(scores, quality)):
        success = found(np.zeros((3, 2), dtype=np.float32))
        assert (success.shape, success.dtype) == ((3, 2), np.dtype(np.float32))


def cross_entropy(temperature: float, scores: Vector, quality: Vector) -> float:
    total = 0.0
    for score, truth in zip(scores, quality, strict=True):
        p = 1 / (1 + ((1 - score) / (1 + score)) ** (1 / temperature))
        total -= truth * log(p) + (1 - truth) * log(1 - p)
    return total


def test_the_temperature_of_success_is_the_lowest_point_of_a_grid() -> None:
    scores, quality = answers()
    found = Temperature.fit(scores, quality).temperature
    grid = found * np.array([0.9, 0.99, 0.999, 1.0, 1.001, 1.01, 1.1])
    assert int(np.argmin([cross_entropy(each, scores, quality) for each in grid])) == 3


def test_the_temperature_agrees_with_scikit_learns_logistic_regression() -> None:
    """On right and wrong answers, one slope without an intercept or a penalty."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    scores = rng.uniform(-0.9, 0.9, 500)
    right = (rng.random(500) < 1 / (1 + np.exp(-0.8 * np.arctanh(scores)))).astype(np.float64)
    X = 2 * np.arctanh(scores)[:, None]
    slope = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(X, right).coef_[0, 0]
    assert Temperature.fit(scores, right).temperature == pytest.approx(1 / slope, rel=1e-4)


@given(st.floats(-0.999, 0.999))
def test_at_temperature_one_success_is_what_the_score_stands_for(score: float) -> None:
    scores = np.array([score])
    np.testing.assert_allclose(Temperature(1.0)(scores), quality_of_score(scores), atol=1e-6)


@given(st.integers(0, 100), st.floats(0.1, 10))
def test_temperature_keeps_every_order(seed: int, temperature: float) -> None:
    scores = np.sort(answers(seed)[0])
    assert (np.diff(Temperature(temperature)(scores)) >= 0).all()


@given(st.integers(0, 100), st.integers(1, 4))
def test_a_handful_of_answers_keeps_the_temperature_within_bounds(seed: int, count: int) -> None:
    found = Temperature.fit(*answers(seed, count)).temperature
    assert LOWEST_TEMPERATURE * 0.999 <= found <= HIGHEST_TEMPERATURE * 1.001


def test_scores_of_nothing_keep_their_temperature() -> None:
    assert Temperature.fit(np.zeros(3), np.array([0.0, 1.0, 1.0])) == Temperature(1.0)


@pytest.mark.parametrize("kind", [Isotonic, Temperature])
def test_calibration_without_answers_is_refused(kind: type[Isotonic] | type[Temperature]) -> None:
    with pytest.raises(UsageError, match="no answer's quality is known"):
        kind.fit(np.zeros(3), np.full(3, np.nan))


@pytest.mark.parametrize("kind", [Isotonic, Temperature])
def test_calibration_of_other_shapes_is_refused(kind: type[Isotonic] | type[Temperature]) -> None:
    with pytest.raises(UsageError, match="differ in shape"):
        kind.fit(np.zeros(3), np.zeros(4))


RNG = np.random.default_rng(0)
TRAIN = RNG.normal(size=(50, 6)).astype(np.float32)
PROMPTS = RNG.normal(size=(20, 6)).astype(np.float32)


def slow_distance(prompt: NDArray[np.float32], train: NDArray[np.float32], neighbours: int) -> float:
    cosines = sorted(
        float(prompt @ row) / float(np.linalg.norm(prompt)) / float(np.linalg.norm(row)) for row in train
    )
    return 1 - float(np.mean(cosines[-neighbours:]))


def test_unfamiliarity_agrees_with_a_loop() -> None:
    expected = [slow_distance(prompt, TRAIN, 3) for prompt in PROMPTS]
    np.testing.assert_allclose(unfamiliarity(PROMPTS, TRAIN, 3), expected, atol=1e-6)


def test_unfamiliarity_agrees_with_scikit_learns_neighbours() -> None:
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=5, metric="cosine").fit(TRAIN).kneighbors(PROMPTS)
    np.testing.assert_allclose(unfamiliarity(PROMPTS, TRAIN, 5), distances.mean(1), atol=1e-6)


@given(st.floats(0.01, 100))
def test_unfamiliarity_knows_no_length_of_embeddings(factor: float) -> None:
    scaled = unfamiliarity(PROMPTS * np.float32(factor), TRAIN, 4)
    np.testing.assert_allclose(scaled, unfamiliarity(PROMPTS, TRAIN, 4), atol=1e-5)


def test_the_threshold_leaves_each_row_of_train_out_of_its_own_neighbours() -> None:
    own = [slow_distance(row, np.delete(TRAIN, i, axis=0), 3) for i, row in enumerate(TRAIN)]
    assert familiar_below(TRAIN, 3, 0.9) == pytest.approx(np.quantile(own, 0.9), abs=1e-6)


def test_a_sample_of_train_is_asked_among_all_of_train() -> None:
    rows = np.sort(np.random.default_rng(1).choice(50, 20, replace=False))
    own = [slow_distance(TRAIN[i], np.delete(TRAIN, i, axis=0), 3) for i in rows]
    assert familiar_below(TRAIN, 3, 0.9, most=20, seed=1) == pytest.approx(np.quantile(own, 0.9), abs=1e-6)


def test_chunks_leave_no_prompt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = unfamiliarity(PROMPTS, TRAIN, 3), familiar_below(TRAIN, 3)
    monkeypatch.setattr("fusionapp.domain.routing.familiarity._CELLS_AT_ONCE", 150)
    np.testing.assert_allclose(unfamiliarity(PROMPTS, TRAIN, 3), whole[0], atol=1e-6)
    assert familiar_below(TRAIN, 3) == pytest.approx(whole[1], abs=1e-6)


def test_a_prompt_of_zeros_is_far_from_all_and_no_error() -> None:
    np.testing.assert_allclose(unfamiliarity(np.zeros((1, 6), dtype=np.float32), TRAIN, 3), [1.0])


@pytest.mark.parametrize("neighbours", [0, 51])
def test_too_many_or_no_neighbours_are_refused(neighbours: int) -> None:
    with pytest.raises(UsageError, match=f"{neighbours} nearest neighbours of 50"):
        unfamiliarity(PROMPTS, TRAIN, neighbours)


def test_a_threshold_needs_one_more_row_than_neighbours() -> None:
    with pytest.raises(UsageError, match="50 nearest neighbours of 49"):
        familiar_below(TRAIN, 50)


def test_embeddings_of_another_width_are_refused() -> None:
    with pytest.raises(UsageError, match="width 5, but train has 6"):
        unfamiliarity(PROMPTS[:, :5], TRAIN, 3)


def test_a_quantile_of_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"quantile 1.0"):
        familiar_below(TRAIN, 3, 1.0)
