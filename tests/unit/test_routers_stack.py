"""The stack."""

from __future__ import annotations

import numpy as np
import pytest
from fakes.routers import answers_of, toy_answers
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.routers import stack
from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.routers.stack import fit_stack
from fusionapp.adapters.routers.weighing import weigh
from fusionapp.adapters.torch_shared import router_inputs
from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.features import prompt_features

SECOND = ["estimate", "places", "profiles"]
"""What is mixed last, by name."""


def features_of(answered: AnsweredPrompts) -> NDArray[np.float32]:
    return prompt_features(answered.prompts.texts)


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
    matrices = weigh({"good": good, "bad": bad, "against": -good}, target)
    weights = {name: np.linalg.eigvalsh(matrix) for name, matrix in matrices.items()}
    assert min(one.min() for one in weights.values()) >= -1e-12
    assert weights["good"].min() > weights["bad"].max()
    assert weights["good"].min() > weights["against"].max()


def test_an_estimate_that_says_next_to_nothing_gets_no_weight_without_bounds() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(50, 3))
    said = {"good": target + rng.normal(size=(50, 3)) * 0.1, "faint": target * 1e-9}
    assert np.abs(weigh(said, target)["faint"]).max() < 1.0


def test_an_estimate_may_weigh_more_for_what_models_share_than_for_what_sets_them_apart() -> None:
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(200, 1)) * 3, rng.normal(size=(200, 3))
    target = shared + own - own.mean(axis=1, keepdims=True)
    matrix = weigh({"of the prompt": np.broadcast_to(shared, (200, 3)), "noise": own[::-1]}, target)[
        "of the prompt"
    ]
    alike, apart = np.ones(3) / np.sqrt(3), np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    assert alike @ matrix @ alike > 0.8
    assert abs(apart @ matrix @ apart) < 0.6


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


@pytest.mark.parametrize(("kinds", "spread"), [(3, 0.01), (5, 0.0), (20, 0.1)])
@pytest.mark.parametrize("seed", range(3))
def test_noise_over_prompts_in_tight_groups_is_not_foretold(kinds: int, spread: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind, centres = rng.integers(0, kinds, 300), rng.normal(size=(kinds, 32))
    vectors = (centres[kind] + spread * rng.normal(size=(300, 32)))[:, None].astype(np.float32)
    texts = [f"prompt {number} of kind {each}" for number, each in enumerate(kind)]
    noise = answers_of(Prompts(texts, {"dense": vectors}), rng.random((300, 4)))
    quality = noise.scores.quality
    for features in (None, prompt_features(texts)):
        missed = np.square(fit_stack(noise, features).left_out - quality).mean()
        assert missed > 0.975 * np.square(quality.mean(0) - quality).mean()


@pytest.mark.parametrize("numbers", [[np.nan], [np.inf], [np.inf, -np.inf], [1e30]])
def test_an_embedding_that_is_not_finite_is_named(
    numbers: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = toy_answers()
    base = fit_stack(toy).base
    broken = np.array(toy.prompts.embeddings["dense"])
    broken[7, 0, : len(numbers)] = numbers
    prompts = Prompts(toy.prompts.texts, {"dense": broken})
    monkeypatch.setattr(router_inputs, "_AT_ONCE", 4)
    monkeypatch.setattr(stack, "_AT_ONCE", 4)
    with pytest.raises(UsageError, match=f"'dense' of prompt '{toy.prompts.texts[7]}'"):
        fit_stack(answers_of(prompts, toy.scores.quality))
    with pytest.raises(UsageError, match=f"'dense' of prompt '{toy.prompts.texts[7]}'"):
        base.quality(prompts)


def test_a_sparse_encoder_enters_beside_the_dense_one() -> None:
    fitted = fit_stack(with_counts(toy_answers()))
    assert list(fitted.base.weights) == ["linear", "smooth", "sparse counts", *SECOND]
    assert fitted.base.quality(with_counts(toy_answers(9, seed=2)).prompts).shape == (9, 4)


def test_there_is_no_stack_without_dense_embeddings_or_features() -> None:
    toy = toy_answers()
    with pytest.raises(UsageError, match="dense encoder"):
        fit_stack(answers_of(Prompts(toy.prompts.texts, {}), toy.scores.quality))


def test_features_of_texts_without_embeddings_are_read_too() -> None:
    toy = toy_answers()
    texts = answers_of(Prompts(toy.prompts.texts, {}), toy.scores.quality)
    fitted = fit_stack(texts, features_of(toy))
    assert list(fitted.base.weights) == ["linear", "smooth", *SECOND]
    asked = Prompts(["sum prime"], {})
    assert fitted.base.quality(asked, prompt_features(asked.texts)).shape == (1, 4)


def test_a_stack_fitted_on_features_asks_for_them() -> None:
    toy = toy_answers()
    base = fit_stack(toy, features_of(toy)).base
    with pytest.raises(UsageError, match="features"):
        base.quality(toy.prompts)


def test_kinds_of_prompts_that_no_line_tells_apart_are_told_by_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 4, 400)
    corner = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]])[kind]
    # Every line and every n-gram says the same of both diagonals.
    dense = np.hstack([corner + rng.normal(size=(400, 2)) * 0.2, rng.normal(size=(400, 6)) * 0.2])
    quality = np.where((kind < 2)[:, None], [1.0, 0.0, 0.4, 0.3], [0.0, 1.0, 0.4, 0.3])
    prompts = Prompts(["alike"] * 400, {"dense": dense[:, None].astype(np.float32)})
    train, asked = (
        answers_of(Prompts(prompts.texts[part], {"dense": prompts.embeddings["dense"][part]}), quality[part])
        for part in (slice(0, 300), slice(300, 400))
    )
    base = fit_stack(train).base
    assert (base.quality(asked.prompts).argmax(axis=1) == asked.scores.quality.argmax(axis=1)).mean() > 0.95
    assert base.weights["places"] + base.weights["profiles"] > base.weights["estimate"]


def test_prompts_are_scored_alike_in_any_company() -> None:
    base = fit_stack(toy_answers()).base
    prompts = toy_answers(60, seed=2).prompts
    dense = prompts.embeddings["dense"]
    alone = np.concatenate(
        [base.quality(Prompts(prompts.texts[i : i + 1], {"dense": dense[i : i + 1]})) for i in range(60)]
    )
    np.testing.assert_allclose(base.quality(prompts), alone, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("features", [False, True])
def test_made_anew_from_its_numbers_it_is_the_same_bit_for_bit(sparse: bool, features: bool) -> None:
    train, fresh = toy_answers(), toy_answers(40, seed=2)
    if sparse:
        train, fresh = with_counts(train), with_counts(fresh)
    base = fit_stack(train, features_of(train) if features else None).base
    again = StackBases().restore(base.describe(), base.numbers(), "here")
    asked = (fresh.prompts, features_of(fresh) if features else None)
    np.testing.assert_array_equal(base.quality(*asked), again.quality(*asked))


@pytest.mark.parametrize(
    "name",
    [
        "level",
        "centre",
        "linear",
        "features.mean",
        "features.deviation",
        "axes",
        "smooth.landmarks",
        "smooth.weights",
        "sparse.1.columns",
        "sparse.1.weights",
        "neighbourhoods.own",
        "neighbourhoods.places.centres",
        "neighbourhoods.profiles.means",
        "neighbourhoods.profiles.sizes",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "not finite", "cut"])
def test_broken_numbers_make_no_base(name: str, damage: str) -> None:
    train = with_counts(toy_answers())
    base = fit_stack(train, features_of(train)).base
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
    "change", [{"models": []}, {"models": 3}, {"inputs": [{"name": "x"}]}, {"weights": None}, {"features": 3}]
)
def test_a_broken_description_makes_no_base(change: dict[str, object]) -> None:
    toy = toy_answers()
    base = fit_stack(toy, features_of(toy)).base
    with pytest.raises(CorruptArtifactError, match="here"):
        StackBases().restore({**base.describe(), **change}, base.numbers(), "here")


def test_one_prompt_is_too_few() -> None:
    with pytest.raises(UsageError, match="too few"):
        fit_stack(toy_answers(1))
