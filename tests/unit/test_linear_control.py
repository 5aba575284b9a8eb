from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC

from fusionapp.adapters.linear import solver
from fusionapp.adapters.linear.control import ScipyLinearControl
from fusionapp.adapters.linear.features import LinearFeatures, SparseSource
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind, LinearScores
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.recipe import SourceRecipe

COSTS = (0.1, 1.0, 10.0)
KINDS: tuple[LinearKind, ...] = ("linear_svm", "logistic_regression")


class CountedBars:
    """A progress, and its bar, that count."""

    def __init__(self) -> None:
        self.total = self.done = 0

    def task(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[CountedBars]:
        self.total = total
        return nullcontext(self)

    def advance(self, amount: int, **rates: float) -> None:
        self.done += amount


@pytest.fixture(params=[0, 10_000], ids=["by weights", "by inner products"], autouse=True)
def kernel_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding an SVM's weights."""
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", request.param)


def rows(seed: int, count: int = 240, classes: int = 4) -> LabelledEmbeddings:
    """Two layers and word counts that carry the class, noisily."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    dense = rng.normal(size=(count, 2, 6)).astype(np.float32)
    dense[np.arange(count), :, labels] += 1.5
    counts = rng.poisson(0.15, size=(count, 30)).astype(np.float32)
    counts[np.arange(count), labels] += rng.integers(0, 3, count)
    return LabelledEmbeddings({"minilm": dense, "lexical": csr_array(counts)}, labels)


def fitted(
    kind: LinearKind, classes: int = 4, tolerance: float = 1e-4, costs: tuple[float, ...] = COSTS
) -> LinearScores:
    train, validation, test = (rows(seed, classes=classes) for seed in range(3))
    return ScipyLinearControl(tolerance).fit(
        kind, classes, train, validation, test.sources, {}, costs, CountedBars()
    )


def stacked(sources: Mapping[str, Embeddings], train: Mapping[str, Embeddings]) -> csr_array:
    """The same features by scikit-learn alone."""
    dense, counts, fitted_on = sources["minilm"], sources["lexical"], train["lexical"]
    assert isinstance(dense, np.ndarray)
    assert isinstance(counts, csr_array)
    assert isinstance(fitted_on, csr_array)
    layers = [normalize(dense[:, layer]) / 2**0.5 for layer in range(2)]
    seen = (fitted_on.toarray() > 0).sum(0) >= 2
    weighting = TfidfTransformer(sublinear_tf=True).fit(fitted_on[:, seen])
    return csr_array(hstack([*map(csr_array, layers), weighting.transform(counts[:, seen])]))


def oracle(kind: LinearKind, cost: float, classes: int = 4) -> NDArray[np.float64]:
    train, _, test = (rows(seed, classes=classes) for seed in range(3))
    x, scored = (stacked(each.sources, train.sources) for each in (train, test))
    if kind == "linear_svm":
        model = LinearSVC(C=cost, dual=False, tol=1e-8, max_iter=10_000).fit(x, train.labels)
        return np.asarray(model.decision_function(scored))
    return np.asarray(
        LogisticRegression(C=cost, tol=1e-8, max_iter=10_000).fit(x, train.labels).predict_proba(scored)
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cost", COSTS)
def test_scores_agree_with_scikit_learn(kind: LinearKind, cost: float) -> None:
    """At C = 10 decision values reach 8: the float32 inner products of rows leave 3e-3 of them open."""
    np.testing.assert_allclose(fitted(kind, costs=(cost,)).test, oracle(kind, cost), atol=5e-3)


def test_two_classes_agree_with_scikit_learn_too() -> None:
    svm, logistic = (fitted(kind, classes=2, costs=(1.0,)).test for kind in KINDS)
    np.testing.assert_allclose(svm[:, 1], oracle("linear_svm", 1.0, 2), atol=2e-3)
    np.testing.assert_allclose(logistic, oracle("logistic_regression", 1.0, 2), atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cost_with_the_best_validation_accuracy_is_kept(kind: LinearKind) -> None:
    scores = fitted(kind)
    assert list(scores.tried)[:2] == list(COSTS[:2])
    assert scores.tried[scores.cost] == max(scores.tried.values())
    accuracy = np.mean(scores.validation.argmax(1) == rows(1).labels)
    assert scores.tried[scores.cost] == pytest.approx(accuracy)


@pytest.mark.parametrize("kind", KINDS)
def test_a_warm_start_ends_where_a_cold_one_does(kind: LinearKind) -> None:
    warm = fitted(kind)
    np.testing.assert_allclose(fitted(kind, costs=(warm.cost,)).test, warm.test, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cost", [0.1, 100.0])
def test_the_default_tolerance_decides_as_the_exact_solution(kind: LinearKind, cost: float) -> None:
    train, validation, test = (rows(seed) for seed in range(3))
    default = ScipyLinearControl().fit(
        kind, 4, train, validation, test.sources, {}, (0.01, cost), CountedBars()
    )
    alone = ScipyLinearControl().fit(kind, 4, train, validation, test.sources, {}, (cost,), CountedBars())
    exact = oracle(kind, cost).argmax(1)
    assert np.mean(alone.test.argmax(1) == exact) > 0.98
    assert default.tried[cost] == pytest.approx(alone.tried[cost], abs=0.01)


def test_logistic_scores_are_probabilities() -> None:
    scores = fitted("logistic_regression")
    assert scores.probabilistic
    np.testing.assert_allclose(scores.test.sum(1), 1.0, rtol=1e-5)
    assert scores.test.dtype == np.float32
    assert not fitted("linear_svm").probabilistic


@pytest.mark.parametrize("name", ["minilm", "lexical"])
def test_one_source_alone_is_enough(name: str) -> None:
    train, test = (LabelledEmbeddings({name: rows(s).sources[name]}, rows(s).labels) for s in (0, 2))
    scores = ScipyLinearControl().fit("linear_svm", 4, train, test, test.sources, {}, COSTS, CountedBars())
    assert np.mean(scores.test.argmax(1) == test.labels) > 0.5


def test_test_rows_do_not_reach_the_choice_or_the_weighting() -> None:
    train, validation = rows(0), rows(1)
    few = {name: embeddings[:3] for name, embeddings in rows(2).sources.items()}
    scores = ScipyLinearControl(1e-4).fit("linear_svm", 4, train, validation, few, {}, COSTS, CountedBars())
    whole = fitted("linear_svm")
    assert scores.cost == whole.cost
    np.testing.assert_allclose(scores.test, whole.test[:3], atol=1e-5)


def test_each_fit_moves_the_bar() -> None:
    bar = CountedBars()
    train = rows(0)
    ScipyLinearControl().fit("linear_svm", 4, train, train, train.sources, {}, COSTS, bar)
    assert (bar.done, bar.total) == (3, 3)


@pytest.mark.parametrize("costs", [(), (1.0, 0.0)])
def test_a_cost_that_is_not_above_zero_is_refused(costs: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="C must be above 0"):
        fitted("linear_svm", costs=costs)


def test_a_source_missing_from_a_split_is_refused_by_name() -> None:
    train = rows(0)
    lone = {"minilm": train.sources["minilm"]}
    with pytest.raises(UsageError, match="'lexical'"):
        ScipyLinearControl().fit("linear_svm", 4, train, train, lone, {}, COSTS, CountedBars())


def test_a_source_that_changes_its_kind_is_refused() -> None:
    train = rows(0)
    mixed = {"minilm": train.sources["lexical"], "lexical": train.sources["minilm"]}
    with pytest.raises(UsageError, match="was dense in train and is sparse here"):
        ScipyLinearControl().fit("linear_svm", 4, train, train, mixed, {}, COSTS, CountedBars())


def test_texts_without_a_word_and_zero_vectors_are_scored_by_the_intercept() -> None:
    train = rows(0)
    blank: dict[str, Embeddings] = {
        "minilm": np.zeros((2, 2, 6), np.float32),
        "lexical": csr_array(np.zeros((2, 30), np.float32)),
    }
    scores = ScipyLinearControl().fit("linear_svm", 4, train, train, blank, {}, COSTS, CountedBars())
    assert np.isfinite(scores.test).all()
    np.testing.assert_array_equal(scores.test[0], scores.test[1])


def test_costs_are_left_after_two_that_are_no_better() -> None:
    train = rows(0)
    bar = CountedBars()
    same = LabelledEmbeddings(train.sources, np.zeros_like(train.labels))
    scores = ScipyLinearControl().fit(
        "linear_svm", 4, same, same, train.sources, {}, (0.1, 0.2, 0.3, 0.4, 0.5), bar
    )
    assert list(scores.tried) == [0.1, 0.2, 0.3]
    assert scores.cost == 0.1
    assert bar.done == bar.total == 5


def test_a_recipe_says_how_sources_enter() -> None:
    train, test = rows(0), rows(2)
    features = LinearFeatures.fit(
        train.sources,
        {
            "minilm": SourceRecipe(normalize="standard"),
            "lexical": SourceRecipe(idf=False, sublinear_tf=False, max_columns=5),
        },
    )
    design = features.transform(test.sources)
    dense, counts = train.sources["minilm"], test.sources["lexical"]
    assert isinstance(dense, np.ndarray)
    assert isinstance(counts, csr_array)
    scaler = StandardScaler().fit(dense.reshape(240, 12))
    expected = scaler.transform(np.asarray(test.sources["minilm"]).reshape(240, 12)) / 12**0.5
    np.testing.assert_allclose(design.dense[:, :-1], expected, atol=1e-5)
    weighting = features.sources["lexical"]
    assert isinstance(weighting, SparseSource)
    kept = normalize(counts.toarray()[:, weighting.weighting.columns])
    assert kept.shape == (240, 5)
    np.testing.assert_allclose(design.sparse[0].toarray(), kept, atol=1e-6)


@pytest.mark.parametrize("kind", ["l2", "standard", "none"])
def test_train_rows_have_a_mean_squared_length_of_one(kind: Literal["l2", "standard", "none"]) -> None:
    train = {"minilm": 100 * np.asarray(rows(0).sources["minilm"])}
    dense = LinearFeatures.fit(train, {"minilm": SourceRecipe(normalize=kind)}).transform(train).dense
    assert np.square(dense[:, :-1]).sum(1).mean() == pytest.approx(1, rel=1e-4)


def test_another_shape_and_numbers_that_are_not_finite_are_refused() -> None:
    train = {"minilm": np.asarray(rows(0).sources["minilm"])}
    features = LinearFeatures.fit(train, {})
    with pytest.raises(UsageError, match=r"'minilm' had rows of shape \(2, 6\)"):
        features.transform({"minilm": train["minilm"][:, :, :5]})
    with pytest.raises(UsageError, match="not finite"):
        features.transform({"minilm": np.full((2, 2, 6), np.nan, dtype=np.float32)})
