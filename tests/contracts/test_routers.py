"""What every baseline promises."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from fakes.routers import MODELS, answers_of, toy_answers

from fusionapp.adapters.routers.baselines import NumpyBaselines
from fusionapp.application.ports.router import AnsweredPrompts, BaselineKind, Prompts, Router
from fusionapp.domain.errors import UsageError

KINDS: tuple[BaselineKind, ...] = get_args(BaselineKind)
BLIND: tuple[BaselineKind, ...] = ("random", "best_single", "cheapest", "prompt_blind")
OF_VECTORS: tuple[BaselineKind, ...] = ("knn", "kmeans", "ridge", "matrix_factorisation")
SEEING: tuple[BaselineKind, ...] = (*OF_VECTORS, "ridge_tfidf")


def fit(kind: BaselineKind, train: AnsweredPrompts | None = None, seed: int = 0) -> Router:
    return NumpyBaselines().fit_baseline(kind, train or toy_answers(), toy_answers(60, seed=1), seed)


def chosen(router: Router) -> tuple[float, float]:
    """Mean quality of the chosen model, and of the best single one."""
    fresh = toy_answers(80, seed=2)
    scores = router.score(fresh.prompts)
    quality = fresh.scores.quality
    return float(quality[np.arange(80), scores.argmax(1)].mean()), float(quality.mean(0).max())


def without_answers_of(column: int) -> AnsweredPrompts:
    quality = toy_answers().scores.quality.copy()
    quality[:, column] = np.nan
    return answers_of(toy_answers().prompts, quality)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_float32_within_minus_1_and_1_for_each_prompt_and_model(kind: BaselineKind) -> None:
    router = fit(kind)
    scores = router.score(toy_answers(40, seed=2).prompts)
    assert tuple(router.models) == MODELS
    assert scores.shape == (40, 4)
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_success_lies_within_0_and_1(kind: BaselineKind) -> None:
    router = fit(kind)
    success = router.success(router.score(toy_answers(40, seed=2).prompts))
    assert success.dtype == np.float32
    assert success.shape == (40, 4)
    assert success.min() >= 0
    assert success.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_twice_it_scores_bit_for_bit_the_same(kind: BaselineKind) -> None:
    prompts = toy_answers(40, seed=2).prompts
    np.testing.assert_array_equal(fit(kind).score(prompts), fit(kind).score(prompts))


@pytest.mark.parametrize("kind", KINDS)
def test_answers_that_are_not_known_are_done_without(kind: BaselineKind) -> None:
    scores = fit(kind, toy_answers(unknown=0.4)).score(toy_answers(40, seed=2).prompts)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_prompts_score_nothing(kind: BaselineKind) -> None:
    empty = Prompts([], {"dense": np.empty((0, 1, 12), dtype=np.float32)})
    assert fit(kind).score(empty).shape == (0, 4)


@pytest.mark.parametrize("kind", SEEING)
def test_what_looks_at_prompts_beats_the_best_single_model(kind: BaselineKind) -> None:
    quality, single = chosen(fit(kind))
    assert quality > single + 0.15


@pytest.mark.parametrize("kind", SEEING)
def test_it_still_does_where_much_is_not_known(kind: BaselineKind) -> None:
    quality, single = chosen(fit(kind, toy_answers(unknown=0.4)))
    assert quality > single + 0.1


@pytest.mark.parametrize("kind", BLIND)
def test_what_is_blind_needs_no_embeddings(kind: BaselineKind) -> None:
    assert fit(kind).score(Prompts(["a", "b"], {})).shape == (2, 4)


@pytest.mark.parametrize("kind", OF_VECTORS)
def test_fitting_without_embeddings_is_refused(kind: BaselineKind) -> None:
    bare = answers_of(Prompts(toy_answers().prompts.texts, {}), toy_answers().scores.quality)
    with pytest.raises(UsageError, match="dense embeddings"):
        fit(kind, bare)


@pytest.mark.parametrize("kind", OF_VECTORS)
@pytest.mark.parametrize("width", [0, 11])
def test_embeddings_that_are_missing_or_of_another_width_are_refused(kind: BaselineKind, width: int) -> None:
    found = {"dense": np.zeros((1, 1, width), dtype=np.float32)} if width else {}
    with pytest.raises(UsageError, match="dense"):
        fit(kind).score(Prompts(["sum"], found))


@pytest.mark.parametrize("kind", [*SEEING, "best_single"])
def test_a_model_that_never_answered_is_named(kind: BaselineKind) -> None:
    with pytest.raises(UsageError, match="poetry"):
        fit(kind, without_answers_of(1))


def test_best_single_chooses_the_model_of_highest_mean() -> None:
    scores = fit("best_single").score(toy_answers(9, seed=2).prompts)
    assert set(scores.argmax(1)) == {MODELS.index("both")}


def test_the_prompt_blind_router_chooses_the_model_that_wins_most() -> None:
    scores = fit("prompt_blind").score(toy_answers(9, seed=2).prompts)
    assert len(np.unique(scores, axis=0)) == 1
    assert MODELS[int(scores[0].argmin())] == "weak"


def test_the_cheapest_router_orders_models_by_their_price() -> None:
    scores = fit("cheapest").score(toy_answers(9, seed=2).prompts)
    assert (np.diff(scores, axis=1) < 0).all()


def test_lots_depend_on_the_prompt_and_the_seed_and_on_no_other_prompt() -> None:
    prompts = toy_answers(9, seed=2).prompts
    whole = fit("random").score(prompts)
    alone = fit("random").score(Prompts(prompts.texts[4:5], {}))
    np.testing.assert_array_equal(whole[4:5], alone)
    assert not np.array_equal(whole, fit("random", seed=1).score(prompts))
    assert len(np.unique(whole, axis=0)) == 9
