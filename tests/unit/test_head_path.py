"""A head that adds to a linear model's scores, and the temperature that its logits are divided by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress, toy_rows, with_path
from fakes.tracker import RecordingTracker
from safetensors.torch import load_file

from fusionapp.adapters.torch_heads.calibrate import FACTORS
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.sources import Source, select
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.domain.calibration import fit_scale
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.losses import balanced_class_weights, cross_entropy
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

SCORER = TorchHeadScorer("cpu")
RECIPE = TrainingRecipe(hidden_dims=(16,), epochs=4, batch_size=32, learning_rate=0.01, device="cpu")
STILL = attrs.evolve(RECIPE, learning_rate=1e-30, epochs=1, weight_decay=0.0, calibrate=False)
TRAIN, VALIDATION = with_path(toy_rows()), with_path(toy_rows(100, seed=1), seed=1)


def fit(
    folder: Path,
    recipe: TrainingRecipe = RECIPE,
    kind: Any = "concat",
    train: LabelledEmbeddings = TRAIN,
    validation: LabelledEmbeddings = VALIDATION,
) -> Sequence[TrainedHead]:
    return TorchHeadTrainer("float32").train(
        FusionSpec(kind=kind, bag_width=8),
        recipe,
        [0, 1],
        3,
        train,
        validation,
        [str(folder / "0"), str(folder / "1")],
        RecordingTracker(),
        CountingProgress(),
    )


def score(heads: Sequence[TrainedHead], rows: LabelledEmbeddings) -> np.ndarray[Any, np.dtype[np.float32]]:
    return SCORER.score([head.directory for head in heads], rows.sources, rows.linear)


def temperature(head: TrainedHead) -> float:
    return float(json.loads(Path(head.directory, "head.json").read_text(encoding="utf-8"))["temperature"])


def scale(head: TrainedHead) -> float:
    return float(load_file(Path(head.directory, "head.safetensors"))["network.scale"])


@pytest.mark.parametrize("kind", ["concat", "late"])
def test_logits_are_the_networks_and_the_scaled_scores_of_the_path(tmp_path: Path, kind: Any) -> None:
    heads = fit(tmp_path, attrs.evolve(RECIPE, calibrate=False), kind)
    silent = attrs.evolve(VALIDATION, linear=np.zeros_like(VALIDATION.linear))
    network, both = score(heads, silent), score(heads, VALIDATION)
    for seed, head in enumerate(heads):
        raised = network[seed] * np.exp(scale(head) * np.asarray(VALIDATION.linear))
        np.testing.assert_allclose(both[seed], raised / raised.sum(1, keepdims=True), rtol=1e-3, atol=1e-6)


def test_the_scale_starts_where_the_path_alone_fits_best(tmp_path: Path) -> None:
    assert TRAIN.linear is not None
    best = fit_scale(TRAIN.linear, TRAIN.labels)
    assert [scale(head) for head in fit(tmp_path, STILL)] == pytest.approx([best, best], rel=1e-5)


def test_the_network_learns_all_it_can_and_not_what_the_path_leaves_over(tmp_path: Path) -> None:
    knowing = [
        attrs.evolve(rows, linear=np.eye(3, dtype=np.float32)[rows.labels]) for rows in (TRAIN, VALIDATION)
    ]
    heads = fit(tmp_path, attrs.evolve(RECIPE, epochs=12, patience=12, metric="loss"), "concat", *knowing)
    silent = attrs.evolve(VALIDATION, linear=np.zeros_like(VALIDATION.linear))
    assert all((scores.argmax(1) == silent.labels).mean() > 0.8 for scores in score(heads, silent))


def test_the_scale_starts_by_the_class_weights_of_the_recipe(tmp_path: Path) -> None:
    assert TRAIN.linear is not None
    kept = np.flatnonzero((TRAIN.labels != 2) | (np.arange(240) % 9 == 0))
    rare = LabelledEmbeddings(
        {name: x[kept] for name, x in TRAIN.sources.items()}, TRAIN.labels[kept], TRAIN.linear[kept]
    )
    (head, _) = fit(tmp_path, attrs.evolve(STILL, class_weights="balanced"), train=rare)
    weights = balanced_class_weights(rare.labels, 3)
    assert rare.linear is not None
    assert scale(head) == pytest.approx(fit_scale(rare.linear, rare.labels, weights), rel=1e-5)
    assert scale(head) != pytest.approx(fit_scale(rare.linear, rare.labels), rel=1e-3)


def test_each_seed_learns_a_scale_of_its_own(tmp_path: Path) -> None:
    assert TRAIN.linear is not None
    scales = [scale(head) for head in fit(tmp_path)]
    assert len({*scales, fit_scale(TRAIN.linear, TRAIN.labels)}) == 3


def test_the_scale_does_not_decay(tmp_path: Path) -> None:
    silent = attrs.evolve(TRAIN, linear=np.zeros_like(TRAIN.linear))
    recipe = attrs.evolve(RECIPE, weight_decay=10.0, epochs=1)
    scales = [
        scale(fit(tmp_path / str(decay), attrs.evolve(recipe, weight_decay=decay), train=silent)[0])
        for decay in (0.0, 10.0)
    ]
    assert scales[0] == scales[1]


def test_the_network_learns_what_the_linear_model_does_not_know(tmp_path: Path) -> None:
    assert VALIDATION.linear is not None
    linear = (VALIDATION.linear.argmax(1) == VALIDATION.labels).mean()
    assert all(head.validation["accuracy"] > linear for head in fit(tmp_path))


@pytest.mark.parametrize("change", [lambda x: x[:-1], lambda x: x[:, :2], lambda x: x * np.nan])
def test_scores_that_fit_no_row_or_class_are_refused(tmp_path: Path, change: Any) -> None:
    with pytest.raises(UsageError, match=r"training: train.*linear path"):
        fit(tmp_path, train=attrs.evolve(TRAIN, linear=change(TRAIN.linear)))
    heads = fit(tmp_path)
    with pytest.raises(UsageError, match=r"scoring.*linear path"):
        score(heads, attrs.evolve(VALIDATION, linear=change(VALIDATION.linear)))


def likelihood(scores: np.ndarray[Any, np.dtype[np.float32]], labels: np.ndarray[Any, Any]) -> float:
    return float(-np.log(scores[np.arange(len(labels)), labels]).mean())


def test_probabilities_are_calibrated_on_validation(tmp_path: Path) -> None:
    validation = toy_rows(100, seed=1)
    calibrated, plain = (
        fit(
            tmp_path / str(on),
            attrs.evolve(RECIPE, label_smoothing=0.9, calibrate=on),
            train=toy_rows(),
            validation=validation,
        )
        for on in (True, False)
    )
    assert [temperature(head) for head in plain] == [1.0, 1.0]
    before, after = score(plain, validation), score(calibrated, validation)
    for seed, head in enumerate(calibrated):
        assert temperature(head) != pytest.approx(1.0, abs=0.01)
        powered = before[seed].astype(np.float64) ** (1 / temperature(head))
        np.testing.assert_allclose(after[seed], powered / powered.sum(1, keepdims=True), rtol=1e-3, atol=1e-6)
        losses = [
            cross_entropy(
                np.log(scores[seed]), validation.labels, label_smoothing=0.5 / (len(validation.labels) + 0.5)
            )
            for scores in (after, before)
        ]
        assert losses[0] < losses[1]
        assert likelihood(after[seed], validation.labels) == pytest.approx(head.validation["loss"], rel=1e-4)


def test_a_calibrated_head_weighs_the_path_by_a_multiple_of_what_it_learned(tmp_path: Path) -> None:
    weighed, learned = (fit(tmp_path / str(on), attrs.evolve(RECIPE, calibrate=on)) for on in (True, False))
    for one, other in zip(weighed, learned, strict=True):
        assert scale(one) / scale(other) in [pytest.approx(factor) for factor in FACTORS]
        assert one.validation["accuracy"] >= other.validation["accuracy"]


def test_a_path_that_knows_more_than_it_did_out_of_fold_is_trusted_and_stays_calibrated(
    tmp_path: Path,
) -> None:
    """Its factor is then the largest, 32, and so would a temperature of at most 20 be too small."""
    path = 2 * np.eye(3, dtype=np.float32)[VALIDATION.labels]
    path[::3] = np.roll(path[::3], 1, axis=1)
    known = attrs.evolve(VALIDATION, linear=path)
    for probabilities in score(fit(tmp_path, validation=known), known):
        assert np.mean(probabilities.argmax(1) == known.labels) == pytest.approx(2 / 3, abs=0.02)
        assert probabilities.max(1).mean() == pytest.approx(2 / 3, abs=0.05)


def test_a_validation_split_of_two_rows_leaves_a_usable_temperature(tmp_path: Path) -> None:
    assert VALIDATION.linear is not None
    two = LabelledEmbeddings(
        {name: x[:2] for name, x in VALIDATION.sources.items()}, VALIDATION.labels[:2], VALIDATION.linear[:2]
    )
    heads = fit(tmp_path, validation=two)
    assert all(0.04 < temperature(head) < 21 * FACTORS[-1] for head in heads)
    assert np.isfinite(score(heads, VALIDATION)).all()


def test_late_fusion_averages_the_sources_logits_by_weights_that_it_tells() -> None:
    rows = toy_rows(8)
    sources = [Source.fit(name, values, SourceRecipe()) for name, values in rows.sources.items()]
    cards = [source.card for source in sources]
    head = FusionHead(2, FusionSpec(kind="late", bag_width=8), RECIPE, cards, 3)
    head.draw([0, 1], torch.device("cpu"), torch.float32)
    assert head.late is not None
    torch.testing.assert_close(head.late.weights, torch.full((2, 3), 1 / 3))
    with torch.no_grad():
        head.late.weight_logits.copy_(torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 30.0]]))
    torch.testing.assert_close(head.late.weights.sum(-1), torch.ones(2))
    head.eval()
    taken = select(
        [source.prepare(rows.sources[source.card.name], torch.device("cpu")) for source in sources],
        torch.arange(8).expand(2, -1),
    )
    entered = [bag(x).flatten(-2) for bag, x in zip(head.bags, taken, strict=True)]
    each = torch.stack([mlp(x) for mlp, x in zip(head.late.each, entered, strict=True)])
    expected = torch.einsum("nsbc,sn->sbc", each, head.late.weights)
    torch.testing.assert_close(head(taken), expected)
    torch.testing.assert_close(head(taken)[1], each[2, 1])
