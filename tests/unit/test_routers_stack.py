"""The stack, and models that enter by probes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes.routers import answers_of, toy_answers
from scipy.sparse import csr_array

from fusionapp.adapters.routers.baselines import NumpyBaselines
from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.routers.extended import add_model, load_newcomers, save_newcomers
from fusionapp.adapters.routers.stack import fit_stack, weigh
from fusionapp.application.ports.router import AnsweredPrompts, Prompts, Router
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError


def with_counts(answered: AnsweredPrompts) -> AnsweredPrompts:
    """The same prompts with a sparse encoder beside the dense one."""
    dense = answered.prompts.embeddings["dense"]
    assert isinstance(dense, np.ndarray)
    counts = np.clip(np.rint(dense[:, 0] * 2), 0, None).astype(np.float32)
    embeddings: dict[str, Embeddings] = {"dense": dense, "counts": csr_array(counts)}
    return answers_of(Prompts(answered.prompts.texts, embeddings), answered.scores.quality)


def test_weights_are_not_negative_and_a_better_estimate_weighs_more() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(50, 3))
    good, bad = target + rng.normal(size=(50, 3)) * 0.1, rng.normal(size=(50, 3))
    target[::7] = np.nan
    weights = weigh({"good": good, "bad": bad, "against": -good}, target)
    assert min(weights.values()) >= 0
    assert weights["good"] > weights["bad"]
    assert weights["good"] > weights["against"]


def test_predictions_of_train_do_not_know_the_answers_they_are_held_against() -> None:
    rng = np.random.default_rng(0)
    toy = toy_answers()
    noise = answers_of(toy.prompts, rng.random((120, 4)))
    fitted = fit_stack(noise)
    seen = np.square(fitted.base.quality(noise.prompts) - noise.scores.quality).mean()
    left_out = np.square(fitted.left_out - noise.scores.quality).mean()
    mean = np.square(noise.scores.quality.mean(0) - noise.scores.quality).mean()
    assert left_out > 0.95 * mean
    assert seen <= left_out


def test_a_sparse_encoder_enters_beside_the_dense_one() -> None:
    fitted = fit_stack(with_counts(toy_answers()))
    assert list(fitted.base.weights) == ["linear", "rbf_1", "rbf_3", "text", "sparse counts"]
    assert fitted.base.quality(with_counts(toy_answers(9, seed=2)).prompts).shape == (9, 4)


def test_texts_alone_make_a_stack() -> None:
    toy = toy_answers()
    fitted = fit_stack(answers_of(Prompts(toy.prompts.texts, {}), toy.scores.quality))
    assert list(fitted.base.weights) == ["text"]
    assert fitted.base.quality(Prompts(["sum prime"], {})).shape == (1, 4)


def test_prompts_are_scored_alike_in_any_company() -> None:
    base = fit_stack(toy_answers()).base
    prompts = toy_answers(60, seed=2).prompts
    dense = prompts.embeddings["dense"]
    alone = np.concatenate(
        [base.quality(Prompts(prompts.texts[i : i + 1], {"dense": dense[i : i + 1]})) for i in range(60)]
    )
    np.testing.assert_allclose(base.quality(prompts), alone, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_made_anew_from_its_numbers_it_is_the_same_bit_for_bit(sparse: bool) -> None:
    train, fresh = toy_answers(), toy_answers(40, seed=2)
    if sparse:
        train, fresh = with_counts(train), with_counts(fresh)
    base = fit_stack(train).base
    again = StackBases().restore(base.describe(), base.numbers(), "here")
    np.testing.assert_array_equal(base.quality(fresh.prompts), again.quality(fresh.prompts))


@pytest.mark.parametrize(
    "name", ["level", "text.table", "dense.smooth", "sparse.1.columns", "sparse.1.weights"]
)
@pytest.mark.parametrize("damage", ["missing", "not finite", "cut"])
def test_broken_numbers_make_no_base(name: str, damage: str) -> None:
    base = fit_stack(with_counts(toy_answers())).base
    numbers = dict(base.numbers())
    if damage == "missing":
        del numbers[name]
    elif damage == "cut":
        numbers[name] = numbers[name][:-1] if name != "sparse.1.columns" else numbers[name][::-1]
    else:
        numbers[name] = np.full(numbers[name].shape, np.nan, dtype=np.float32)
    with pytest.raises(CorruptArtifactError, match="here"):
        StackBases().restore(base.describe(), numbers, "here")


@pytest.mark.parametrize(
    "change", [{"models": []}, {"models": 3}, {"inputs": [{"name": "x"}]}, {"weights": None}]
)
def test_a_broken_description_makes_no_base(change: dict[str, object]) -> None:
    base = fit_stack(toy_answers()).base
    with pytest.raises(CorruptArtifactError, match="here"):
        StackBases().restore({**base.describe(), **change}, base.numbers(), "here")


def test_one_prompt_is_too_few() -> None:
    with pytest.raises(UsageError, match="too few"):
        fit_stack(toy_answers(1))


def three_models() -> Router:
    """A router that does not know "poetry"."""
    train, validation = (
        answers_of(each.prompts, np.delete(each.scores.quality, 1, axis=1), ("algebra", "both", "weak"))
        for each in (toy_answers(), toy_answers(60, seed=1))
    )
    return NumpyBaselines().fit_baseline("ridge", train, validation, 0)


def poetry(rows: int = 30) -> tuple[Prompts, np.ndarray]:
    probes = toy_answers(rows, seed=4)
    return probes.prompts, probes.scores.quality[:, 0] * 0.9  # as good as algebra at the same prompts


def test_a_model_enters_by_probes_and_is_scored_beside_the_others() -> None:
    router = add_model(three_models(), "new", *poetry())
    fresh = toy_answers(80, seed=2)
    scores = router.score(fresh.prompts)
    assert tuple(router.models) == ("algebra", "both", "weak", "new")
    np.testing.assert_array_equal(scores[:, :3], three_models().score(fresh.prompts))
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1
    assert np.corrcoef(scores[:, 3], fresh.scores.quality[:, 0])[0, 1] > 0.8


def test_a_second_newcomer_leaves_the_first_as_it_was() -> None:
    one = add_model(three_models(), "one", *poetry())
    two = add_model(one, "two", *poetry(10))
    prompts = toy_answers(20, seed=2).prompts
    np.testing.assert_array_equal(two.score(prompts)[:, :4], one.score(prompts))


def test_newcomers_saved_are_newcomers_opened_bit_for_bit(tmp_path: Path) -> None:
    router = add_model(three_models(), "new", *poetry())
    save_newcomers(str(tmp_path), router)
    opened = load_newcomers(str(tmp_path), three_models())
    prompts = toy_answers(20, seed=2).prompts
    np.testing.assert_array_equal(opened.score(prompts), router.score(prompts))


def test_without_newcomers_a_router_is_opened_as_it_is(tmp_path: Path) -> None:
    router = three_models()
    assert load_newcomers(str(tmp_path), router) is router


def test_newcomers_of_a_router_over_other_models_are_refused(tmp_path: Path) -> None:
    save_newcomers(str(tmp_path), add_model(three_models(), "new", *poetry()))
    whole = NumpyBaselines().fit_baseline("ridge", toy_answers(), toy_answers(60, seed=1), 0)
    with pytest.raises(CorruptArtifactError, match="newcomers"):
        load_newcomers(str(tmp_path), whole)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 2}'])
def test_a_broken_file_of_newcomers_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "newcomers.json").write_text(content, encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="newcomers"):
        load_newcomers(str(tmp_path), three_models())


@pytest.mark.parametrize("name", ["algebra", "new"])
def test_a_name_that_is_known_is_refused(name: str) -> None:
    router = add_model(three_models(), "new", *poetry())
    with pytest.raises(UsageError, match=name):
        add_model(router, name, *poetry())


def test_qualities_beyond_1_are_refused() -> None:
    prompts, quality = poetry()
    with pytest.raises(UsageError, match="scale"):
        add_model(three_models(), "new", prompts, quality * 100)
