"""A search changes what it names, starts from the experiment's own settings, and tells gain from noise."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.stats import ttest_rel

from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.domain.search import Choice, Span, apply_values, head_space, settings_of
from fusionapp.domain.statistics.bootstrap import bootstrap_mean
from fusionapp.domain.statistics.gain import gain_error

OWN = (FusionSpec(), TrainingRecipe())


def space_of(
    fusion: FusionSpec = OWN[0], recipe: TrainingRecipe = OWN[1], **how: bool
) -> dict[str, Span | Choice]:
    found = head_space(fusion, recipe, 20_000, 2, how.get("sparse", True), how.get("kinds", False))
    return {one.key: one for one in found}


@given(
    st.floats(1e-6, 1.0), st.floats(0.0, 0.95), st.integers(1, 4096), st.lists(st.integers(1, 99), max_size=3)
)
def test_the_experiments_own_settings_are_in_the_space(
    rate: float, dropout: float, batch: int, hidden: list[int]
) -> None:
    recipe = TrainingRecipe(
        learning_rate=rate, dropout=dropout, batch_size=batch, hidden_dims=tuple(hidden), epochs=7
    )
    own = settings_of(FusionSpec(), recipe)
    for key, parameter in space_of(recipe=recipe).items():
        assert parameter.holds(own[key])


def test_a_weight_decay_of_nothing_has_no_place_on_a_log_scale() -> None:
    found = space_of(recipe=TrainingRecipe(weight_decay=0.0))["train.weight_decay"]
    assert isinstance(found, Span)
    assert found.low > 0
    assert not found.holds(0.0)


def test_only_what_the_experiment_has_is_searched() -> None:
    assert "fusion.bag_width" not in space_of(sparse=False)
    assert "train.class_weights" not in space_of()
    assert "train.class_weights" in space_of(recipe=TrainingRecipe(metric="macro_f1"))
    assert "train.linear_path" in space_of()
    assert "train.linear_path" not in space_of(recipe=TrainingRecipe(linear_path="none"))
    alone = head_space(*OWN, 100, 1, sparse=False, kinds=False)
    assert "train.source_dropout" not in {one.key for one in alone}


def test_kinds_of_fusion_are_searched_where_asked_and_go_with_the_rest() -> None:
    assert "fusion.kind" not in space_of()
    found = space_of(FusionSpec(kind="gated", residual=True), kinds=True)["fusion.kind"]
    assert isinstance(found, Choice)
    assert {"gated", "quaternion", "moe"} <= set(found.options)
    assert not {"concat", "all_features"} & set(found.options)


def test_values_take_the_place_of_settings_and_nothing_else_changes() -> None:
    values = {"train.learning_rate": 0.002, "train.hidden_dims": [64, 32], "fusion.kind": "moe"}
    fusion, recipe = apply_values(values, *OWN)
    assert (fusion.kind, recipe.learning_rate, recipe.hidden_dims) == ("moe", 0.002, (64, 32))
    assert attrs.evolve(recipe, learning_rate=1e-3, hidden_dims=(512,)) == OWN[1]


def test_the_own_settings_give_themselves_back() -> None:
    own = settings_of(*OWN)
    assert apply_values({key: own[key] for key in space_of()}, *OWN) == OWN


def test_another_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'dataset\.train' is not a setting"):
        apply_values({"dataset.train": "x"}, *OWN)


def test_the_error_of_a_gain_over_rows_is_that_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    first = (rng.random(600) < 0.6).astype(float)
    second = np.where(rng.random(600) < 0.2, 1 - first, first)
    resampled = (bootstrap_mean(first[None], 20_000), bootstrap_mean(second[None], 20_000))
    ours = gain_error(first.mean(keepdims=True), second.mean(keepdims=True), resampled)
    oracle = (second.mean() - first.mean()) / ttest_rel(second, first).statistic
    assert ours == pytest.approx(oracle, rel=0.03)


def test_the_error_of_a_gain_over_seeds_agrees_with_a_loop() -> None:
    first, second, same = np.array([0.5, 0.6, 0.55]), np.array([0.7, 0.5]), np.zeros(10)
    by_hand = 0.0
    for scores in (first, second):
        mean = sum(scores) / len(scores)
        by_hand += sum((one - mean) ** 2 for one in scores) / (len(scores) - 1) / len(scores)
    assert gain_error(first, second, (same, same)) == pytest.approx(by_hand**0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.floats(-1, 1))
def test_the_error_does_not_depend_on_how_large_the_gain_is(scores: list[float], shift: float) -> None:
    replicates = np.linspace(0, 1, 30)
    plain = gain_error(np.array(scores), np.array(scores), (replicates, replicates**2))
    moved = gain_error(np.array(scores), np.array(scores) + shift, (replicates, replicates**2 + shift))
    assert moved == pytest.approx(plain, abs=1e-9)
