"""What is chosen on validation once a head is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fusionapp.adapters.torch_heads.calibrate import FACTORS, calibrate
from fusionapp.adapters.torch_heads.training import SeedRun, measure

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 200)
TRUTH = np.eye(3, dtype=np.float32)[LABELS]
NOISE = RNG.normal(size=(200, 3)).astype(np.float32)


def weighed(
    network: NDArray[np.float32], path: NDArray[np.float32], scale: float = 0.5, metric: str = "accuracy"
) -> SeedRun:
    """A run that learned a scale of the path, after its factor was chosen."""
    logits = network + scale * path
    run = SeedRun(0, logits=logits, state={"scale": torch.full((1, 1), scale), "other": torch.ones(2)})
    calibrate(run, path, LABELS, metric)
    return run


def test_a_path_that_is_right_where_the_network_guesses_counts_the_most() -> None:
    run = weighed(3 * NOISE, TRUTH)
    assert run.state["scale"].item() == 0.5 * FACTORS[-1]
    assert run.validation["accuracy"] == 1.0


def test_a_path_that_guesses_where_the_network_is_right_keeps_its_scale() -> None:
    assert weighed(3 * TRUTH, NOISE).state["scale"].item() == 0.5


def test_between_the_two_the_factor_with_the_best_score_is_taken() -> None:
    network, path = 2 * TRUTH + 2 * NOISE, TRUTH + RNG.normal(size=(200, 3)).astype(np.float32)
    run = weighed(network, path)
    scores = [np.mean((network + f * 0.5 * path).argmax(1) == LABELS) for f in FACTORS]
    assert run.validation["accuracy"] == pytest.approx(max(scores))
    assert run.validation["accuracy"] > scores[0]


def test_where_factors_score_alike_the_largest_is_taken() -> None:
    assert weighed(TRUTH, TRUTH).state["scale"].item() == 0.5 * FACTORS[-1]


def test_by_loss_the_factor_of_the_smallest_is_taken() -> None:
    network, path = TRUTH, 8 * NOISE
    assert weighed(network, path, metric="loss").state["scale"].item() == 0.5


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_logits_and_metrics_are_those_of_the_new_weight(scale: float) -> None:
    network, path = NOISE, TRUTH + NOISE[::-1]
    run = weighed(network, path, scale)
    logits = network + run.state["scale"].item() * path
    np.testing.assert_allclose(run.logits, logits, atol=1e-4)
    calibrated = torch.from_numpy(logits / np.float32(run.temperature))
    assert run.validation == pytest.approx(measure(calibrated[None], torch.from_numpy(LABELS))[0], rel=1e-4)
    assert run.state["other"].tolist() == [1, 1]


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_loss_is_the_one_of_the_probabilities_that_are_served(metric: str) -> None:
    run = weighed(NOISE, TRUTH, metric=metric)

    served = torch.softmax(torch.from_numpy(run.logits / np.float32(run.temperature)), dim=1)

    chosen = served[torch.arange(len(LABELS)), torch.from_numpy(LABELS)]
    assert run.validation["loss"] == pytest.approx(-chosen.log().mean().item(), rel=1e-4)


def test_a_path_of_negative_scale_is_left_out_and_never_amplified() -> None:
    run = weighed(NOISE, TRUTH, scale=-0.5)

    assert run.state["scale"].item() == 0


def test_a_head_without_a_path_gets_its_temperature_alone() -> None:
    run = SeedRun(0, logits=8 * NOISE, state={"other": torch.ones(2)})

    calibrate(run, None, LABELS, "accuracy")

    assert run.temperature > 1
    assert list(run.state) == ["other"]
