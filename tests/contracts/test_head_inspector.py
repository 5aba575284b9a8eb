"""What every head inspector promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress, NearestMeanScorer, NearestMeanTrainer, only, toy_rows
from fakes.inspectors import NearestMeanInspector
from fakes.tracker import RecordingTracker
from numpy.typing import NDArray

from fusionapp.adapters.torch_heads.inspection import TorchHeadInspector
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.head_inspector import Ablation, HeadInspector, Part
from fusionapp.application.ports.heads import HeadScorer, HeadTrainer, LabelledEmbeddings
from fusionapp.domain.embeddings import Embeddings, take_rows
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

RECIPE = TrainingRecipe(hidden_dims=(8,), epochs=4, batch_size=32, learning_rate=0.01, device="cpu")
SPEC = FusionSpec(kind="hadamard", dim=8, bag_width=8)
TRAIN, ROWS = toy_rows(), toy_rows(40, seed=2)


@attrs.frozen
class Trio:
    trainer: HeadTrainer
    scorer: HeadScorer
    inspector: HeadInspector


TRIOS = {
    "torch": Trio(TorchHeadTrainer(), TorchHeadScorer("cpu"), TorchHeadInspector("cpu", batch_rows=16)),
    "nearest-mean": Trio(NearestMeanTrainer(), NearestMeanScorer(), NearestMeanInspector()),
}


def path_of(rows: LabelledEmbeddings, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(len(rows.labels), 3)).astype(np.float32)


@pytest.fixture(scope="module", params=TRIOS, name="name")
def _name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="trio")
def _trio(name: str) -> Trio:
    return TRIOS[name]


def fit(trio: Trio, folder: Path, spec: FusionSpec = SPEC, linear: bool = False) -> list[str]:
    train, validation = TRAIN, toy_rows(100, seed=1)
    if linear:
        train = attrs.evolve(train, linear=path_of(train, 0))
        validation = attrs.evolve(validation, linear=path_of(validation, 1))
    directories = [str(folder / f"seed-{seed}") for seed in (3, 5)]
    trio.trainer.train(
        spec, RECIPE, (3, 5), 3, train, validation, directories, RecordingTracker(), CountingProgress()
    )
    return directories


@pytest.fixture(scope="module", name="heads")
def _heads(name: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return fit(TRIOS[name], tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module", name="beside_path")
def _beside_path(name: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return fit(TRIOS[name], tmp_path_factory.mktemp(name), linear=True)


def without(
    trio: Trio,
    heads: Sequence[str],
    *removed: Part,
    sources: Mapping[str, Embeddings] = ROWS.sources,
    linear: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    (scores,) = trio.inspector.score_without(heads, sources, TRAIN.sources, [Ablation(removed, linear)])
    return scores


def test_nothing_removed_gives_what_the_scorer_gives(trio: Trio, heads: list[str]) -> None:
    np.testing.assert_allclose(without(trio, heads), trio.scorer.score(heads, ROWS.sources), atol=1e-6)


def test_beside_a_linear_path_too(trio: Trio, beside_path: list[str]) -> None:
    linear = path_of(ROWS, 2)
    expected = trio.scorer.score(beside_path, ROWS.sources, linear)
    np.testing.assert_allclose(without(trio, beside_path, linear=linear), expected, atol=1e-6)


def test_scores_are_distributions_whatever_is_removed(trio: Trio, heads: list[str]) -> None:
    scores = without(trio, heads, Part("deep", 1), Part("words"))
    assert scores.shape == (2, 40, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name_of_part", ["deep", "flat", "words"])
def test_what_a_removed_source_holds_plays_no_part(trio: Trio, heads: list[str], name_of_part: str) -> None:
    shuffled = {**ROWS.sources, name_of_part: take_rows(ROWS.sources[name_of_part], np.arange(39, -1, -1))}
    removed = Part(name_of_part)
    np.testing.assert_allclose(
        without(trio, heads, removed, sources=shuffled), without(trio, heads, removed), atol=1e-6
    )
    assert not np.allclose(without(trio, heads, sources=shuffled), without(trio, heads), atol=1e-4)


def test_what_a_removed_layer_holds_plays_no_part_and_the_others_do(trio: Trio, heads: list[str]) -> None:
    deep = np.array(ROWS.sources["deep"])
    deep[:, 1] = deep[::-1, 1]
    changed = {**ROWS.sources, "deep": deep}
    for layer, heeded in ((1, False), (0, True)):
        before, after = (
            without(trio, heads, Part("deep", layer), sources=s) for s in (ROWS.sources, changed)
        )
        assert np.allclose(before, after, atol=1e-6) != heeded


def test_with_everything_removed_all_rows_get_the_same_scores(trio: Trio, heads: list[str]) -> None:
    scores = without(trio, heads, *map(Part, ROWS.sources))
    np.testing.assert_allclose(scores, np.broadcast_to(scores[:, :1], scores.shape), atol=1e-6)


def test_all_layers_removed_are_the_source_removed(trio: Trio, heads: list[str]) -> None:
    layers = [Part("deep", layer) for layer in range(3)]
    np.testing.assert_allclose(without(trio, heads, *layers), without(trio, heads, Part("deep")), atol=1e-6)


def test_ablations_leave_no_trace_on_the_next(trio: Trio, heads: list[str]) -> None:
    ablations = [Ablation(), Ablation((Part("flat"),)), Ablation()]
    first, _, last = trio.inspector.score_without(heads, ROWS.sources, TRAIN.sources, ablations)
    np.testing.assert_array_equal(first, last)


def test_ablations_are_taken_as_the_scores_are(trio: Trio, heads: list[str]) -> None:
    taken: list[int] = []

    def ablations() -> Iterator[Ablation]:
        for number in range(3):
            taken.append(number)
            yield Ablation()

    scored = trio.inspector.score_without(heads, ROWS.sources, TRAIN.sources, ablations())
    next(scored)
    assert taken == [0]


def test_weights_of_a_row_sum_to_1(trio: Trio, tmp_path: Path) -> None:
    found = trio.inspector.weights(fit(trio, tmp_path, FusionSpec(kind="gated", bag_width=8)), ROWS.sources)
    assert found is not None
    assert found.parts == (Part("deep"), Part("flat"), Part("words"))
    assert found.weights.shape == (2, 40, 3)
    np.testing.assert_allclose(found.weights.sum(-1), 1.0, rtol=1e-5)


def test_interactions_have_a_length_for_each_head_and_row(trio: Trio, heads: list[str]) -> None:
    found = trio.inspector.interactions(heads, ROWS.sources)
    assert [one.name.split(" with ")[1] for one in found] == ["flat", "words"]
    for one in found:
        assert one.quantity == "length"
        assert one.values.shape == (2, 40)
        assert (one.values >= 0).all()


def test_scales_are_those_of_a_linear_path_alone(
    trio: Trio, heads: list[str], beside_path: list[str]
) -> None:
    assert trio.inspector.linear_scales(heads) is None
    scales = trio.inspector.linear_scales(beside_path)
    assert scales is not None
    assert len(scales) == 2


def test_a_part_that_is_not_there_is_refused_by_name(trio: Trio, heads: list[str]) -> None:
    with pytest.raises(UsageError, match="'tones'"):
        without(trio, heads, Part("tones"))
    with pytest.raises(UsageError, match="3"):
        without(trio, heads, Part("deep", 3))


def test_a_missing_source_and_missing_heads_are_refused(trio: Trio, heads: list[str]) -> None:
    with pytest.raises(UsageError, match="'words'"):
        without(trio, heads, sources=only(ROWS, "deep", "flat").sources)
    with pytest.raises(UsageError, match="no head"):
        without(trio, [])


def test_scores_of_a_path_that_training_did_not_have_are_refused(
    trio: Trio, heads: list[str], beside_path: list[str]
) -> None:
    with pytest.raises(UsageError, match="linear path"):
        without(trio, heads, linear=path_of(ROWS, 2))
    with pytest.raises(UsageError, match="linear path"):
        without(trio, beside_path)


def test_a_head_that_is_gone_is_a_corrupt_artefact(trio: Trio, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match=r"head\.json"):
        without(trio, [str(tmp_path / "nowhere")])
