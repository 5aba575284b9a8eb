"""The estimates that a stack is made of."""

from __future__ import annotations

import numpy as np
from fakes.routers import toy_answers
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge as LibraryRidge

from fusionapp.adapters.routers.directions import find_directions
from fusionapp.adapters.routers.kmeans import find_centres, nearest_centre
from fusionapp.adapters.routers.landmarks import draw_rows, fit_over_landmarks, similarity
from fusionapp.adapters.routers.lexical import fit_texts
from fusionapp.adapters.routers.neighbours import Clusters, Neighbours, known_mean
from fusionapp.adapters.routers.ngrams import BUCKETS, hash_ngrams
from fusionapp.adapters.routers.partitions import fit_partitions
from fusionapp.adapters.routers.ridge import PENALTIES, fit_ridge, folds_of

TEXTS = [
    "How many primes are below 100?",
    "",
    "Écris un sonnet, s'il te plaît",
    "how   many PRIMES are below 100?",
    "a",
]


def drawn(rows: int = 24, columns: int = 5, models: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    y = x @ rng.normal(size=(columns, models)) * 0.1 + rng.normal(size=(rows, models)) * 0.1
    return x, y


def test_directions_are_the_principal_axes_of_models_that_answered_the_same_prompts() -> None:
    _, y = drawn(models=4)
    y[:8, 1] = np.nan
    y[:8, 3] = np.nan
    first, second = find_directions(y)
    for group, models, rows in ((first, [1, 3], range(8, 24)), (second, [0, 2], range(24))):
        assert (group.models.tolist(), group.rows.tolist()) == (models, list(rows))
        np.testing.assert_allclose(group.axes.T @ group.axes, np.eye(2), atol=1e-12)
        across = group.of(y).T @ group.of(y)
        np.testing.assert_allclose(across, np.diag(np.diag(across)), atol=1e-12)


def by_hand(x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Weights (columns, models) by scikit-learn, one direction after the other."""
    (group,) = find_directions(y)
    turned = [
        LibraryRidge(alpha=penalty, fit_intercept=False).fit(x, y @ axis).coef_
        for penalty, axis in zip(penalties, group.axes.T, strict=True)
    ]
    return np.asarray(np.column_stack(turned) @ group.axes.T)


def test_what_a_row_is_predicted_as_without_its_fold_is_what_a_fit_without_it_says() -> None:
    x, y = drawn()
    (group,), fitted, fold = find_directions(y), fit_ridge(x, y), folds_of(len(x))
    told = fitted.left_out()
    for row in range(len(x)):
        rest = fold != fold[row]
        for penalty, axis in zip(fitted.penalties[0], group.axes.T, strict=True):
            gram = x[rest].T @ x[rest] + penalty * np.eye(5)
            weights = np.linalg.solve(gram, x[rest].T @ y[rest] @ axis)
            np.testing.assert_allclose(told[row] @ axis, x[row] @ weights, atol=1e-4)


def test_weights_are_those_of_scikit_learn() -> None:
    x, y = drawn()
    fitted = fit_ridge(x, y)
    np.testing.assert_allclose(fitted.weights, by_hand(x, y, fitted.penalties[0]), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 20), st.integers(1, 6), st.integers(0, 99))
def test_no_penalty_would_have_left_less_error_in_any_direction(rows: int, columns: int, seed: int) -> None:
    x, y = drawn(rows, columns, 2, seed)
    (group,), found = find_directions(y), fit_ridge(x, y)

    def error(penalty: float) -> NDArray[np.float64]:
        gram = x.T @ x + penalty * np.eye(columns)
        leverage = np.einsum("ij,ji->i", x, np.linalg.solve(gram, x.T))
        left = (y - x @ np.linalg.solve(gram, x.T @ y)) / (1 - np.minimum(leverage, 1 - 1e-6))[:, None]
        return np.asarray(np.square(left @ group.axes).mean(axis=0))

    least = np.min([error(penalty) for penalty in PENALTIES], axis=0)
    for direction, penalty in enumerate(found.penalties[0]):
        assert error(penalty)[direction] <= least[direction] * (1 + 1e-3)


def test_every_fold_has_as_many_rows_as_can_be() -> None:
    np.testing.assert_array_equal(np.bincount(folds_of(13)), [3, 3, 3, 2, 2])


def test_a_judge_chooses_one_penalty_for_all_directions() -> None:
    x, y = drawn()
    found = fit_ridge(x, y, lambda weights: float(np.square(weights).sum()))
    np.testing.assert_array_equal(found.penalties[0], np.full(3, max(PENALTIES)))
    library = LibraryRidge(alpha=max(PENALTIES), fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(found.weights, library.coef_.T, atol=1e-5)


def test_what_all_models_share_and_what_sets_them_apart_have_penalties_of_their_own() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 20)).astype(np.float32)
    shared = x @ rng.normal(size=(20, 1)) * np.ones((1, 3))
    noise = rng.normal(size=(200, 3))
    found = fit_ridge(x, shared + noise - noise.mean(axis=1, keepdims=True))
    assert found.penalties[0].min() == min(PENALTIES)
    assert found.penalties[0].max() == max(PENALTIES)


def test_models_are_fitted_on_the_prompts_that_they_answered() -> None:
    x, y = drawn()
    gaps = y.copy()
    gaps[:8, 1] = np.nan
    found = fit_ridge(x, gaps)
    alone = LibraryRidge(alpha=found.penalties[0][0], fit_intercept=False).fit(x[8:], y[8:, 1])
    np.testing.assert_allclose(found.weights[:, 1], alone.coef_, atol=1e-5)
    np.testing.assert_allclose(found.left_out()[:8, 1], x[:8] @ alone.coef_, atol=1e-5)


def test_with_every_row_a_landmark_it_is_kernel_ridge() -> None:
    x, y = drawn()
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    kernel = similarity(units, units, 1.5)
    y = y[:, :1]
    weights, ridge = fit_over_landmarks(kernel, draw_rows(len(x), 100), y)
    library = KernelRidge(alpha=ridge.penalties[0][0], kernel="rbf", gamma=1.5).fit(units, y)
    np.testing.assert_allclose(kernel @ weights, library.predict(units), atol=2e-3)


def test_drawn_rows_are_distinct_and_always_the_same() -> None:
    chosen = draw_rows(1000, 50)
    assert len(np.unique(chosen)) == 50
    np.testing.assert_array_equal(chosen, draw_rows(1000, 50))
    np.testing.assert_array_equal(draw_rows(7, 50), np.arange(7))


def blobs(rows: int = 300, kinds: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points around a few places, and which is whose."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, rows)
    places = rng.normal(size=(kinds, 4)) * 5
    return (places[kind] + rng.normal(size=(rows, 4)) * 0.3).astype(np.float32), kind


def test_centres_are_found_as_the_library_finds_them() -> None:
    points, kind = blobs()
    centres = find_centres(points, 5, seed=0)
    library = KMeans(5, n_init=20, random_state=0).fit(points)
    spread = np.square(points - centres[nearest_centre(points, centres)]).sum()
    np.testing.assert_allclose(spread, library.inertia_, rtol=1e-4)
    assert len(set(zip(kind, nearest_centre(points, centres), strict=True))) == 5


def test_a_cluster_says_the_mean_of_its_other_members() -> None:
    points = np.zeros((6, 2), dtype=np.float32)
    target = np.array([[0.3], [0.1], [np.nan], [-0.2], [0.4], [0.0]])
    partitions, left_out = fit_partitions(points, target)
    # Five known answers and two more of mean quality, which is 0.
    np.testing.assert_allclose(partitions(points[:1]), [[0.6 / 7]], atol=1e-6)
    np.testing.assert_allclose(left_out[:3, 0], [0.3 / 6, 0.5 / 6, 0.6 / 7], atol=1e-6)


def test_rows_left_out_of_clusters_say_nothing_of_noise() -> None:
    points, _ = blobs()
    noise = np.random.default_rng(1).normal(size=(300, 2))
    noise -= noise.mean(axis=0)
    partitions, left_out = fit_partitions(points, noise)
    nothing = np.square(noise).mean()
    assert np.square(partitions(points) - noise).mean() < 0.97 * nothing
    assert np.square(left_out - noise).mean() > 0.99 * nothing


def test_clusters_of_a_few_prompts_each_are_not_made() -> None:
    partitions, _ = fit_partitions(*drawn(rows=40))
    np.testing.assert_array_equal(partitions.sizes, [5])


def test_n_grams_are_of_one_text_and_blind_to_case() -> None:
    together = [rows.toarray() for rows in hash_ngrams(TEXTS)]
    for place, text in enumerate(TEXTS):
        alone = [rows.toarray()[0] for rows in hash_ngrams([text])]
        for kind, rows in enumerate(together):
            np.testing.assert_array_equal(rows[place], alone[kind])
    lower, upper = hash_ngrams(["how many primes"]), hash_ngrams(["HOW MANY PRIMES"])
    assert all(abs(a - b).sum() == 0 for a, b in zip(lower, upper, strict=True))


def test_n_grams_are_as_many_as_a_loop_counts() -> None:
    for text in TEXTS:
        body = f" {text.lower()} ".encode()
        words = "".join(c if c.isalnum() or ord(c) >= 128 or c == "'" else " " for c in text).split()
        expected = [max(0, len(body) - 3), len(words), max(0, len(words) - 1)]
        assert [int(rows.sum()) for rows in hash_ngrams([text])] == expected


def test_no_texts_have_no_n_grams() -> None:
    assert [rows.shape for rows in hash_ngrams([])] == [(0, BUCKETS)] * 3


def test_the_estimate_from_texts_learns_their_topic() -> None:
    toy, fresh = toy_answers(), toy_answers(60, seed=2)
    level = toy.scores.quality.mean(0)
    estimate = fit_texts(toy.prompts.texts, toy.scores.quality - level)
    told = level + estimate(fresh.prompts.texts)
    assert (
        np.square(told - fresh.scores.quality).mean() < 0.5 * np.square(level - fresh.scores.quality).mean()
    )


def test_texts_of_nothing_are_worth_the_mean() -> None:
    toy = toy_answers()
    estimate = fit_texts(toy.prompts.texts, toy.scores.quality - toy.scores.quality.mean(0))
    np.testing.assert_array_equal(estimate(["", " "])[0], np.zeros(4))


def test_neighbours_are_the_nearest_and_only_known_answers_count() -> None:
    units = np.eye(4, dtype=np.float32)
    target = np.array([[0.1, np.nan], [0.3, 0.5], [0.5, np.nan], [0.9, 0.2]])
    asked = np.array([[0.9, 0.4, 0.1, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(Neighbours(units, target, 2)(asked), [[0.2, 0.5]], atol=1e-6)
    np.testing.assert_allclose(known_mean(target[None, :1]), [[0.1, 0.0]])


def test_clusters_part_what_lies_apart() -> None:
    rng = np.random.default_rng(0)
    topic = np.arange(40) % 2
    x = np.eye(2)[topic] * 3 + rng.normal(size=(40, 2)) * 0.1
    units = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    target = np.eye(2)[topic]
    np.testing.assert_allclose(Clusters.fit(units, target, 2, seed=0)(units), target, atol=1e-6)


def test_more_clusters_than_distinct_prompts_are_not_made() -> None:
    units = np.tile(np.eye(2, dtype=np.float32), (5, 1))
    assert len(Clusters.fit(units, np.zeros((10, 1)), 6, seed=0).centres) == 2
