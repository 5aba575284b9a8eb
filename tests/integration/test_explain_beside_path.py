"""Heads that add to a fitted linear path, explained whole: torch heads, scipy's path, and no fake between them."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress, toy_rows
from fakes.stores import MemoryRunStore, MemorySpool
from fakes.tracker import RecordingTracker

from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.adapters.torch_heads.inspection import TorchHeadInspector
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.services.explain_classifier import ExplainClassifier
from fusionapp.application.services.explanation import Finding, Subject
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.domain.examples import Example
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

TRAIN, VALIDATION, TEST = toy_rows(), toy_rows(60, seed=1), toy_rows(60, seed=2)
RECIPE = TrainingRecipe(hidden_dims=(8,), epochs=4, batch_size=32, learning_rate=0.01, device="cpu")


@pytest.fixture(scope="module", name="runs")
def _runs(tmp_path_factory: pytest.TempPathFactory) -> MemoryRunStore:
    runs, path = MemoryRunStore(tmp_path_factory.mktemp("run")), ScipyLinearPath()
    scores = path.fit(
        "linear_svm",
        3,
        TRAIN,
        VALIDATION,
        {},
        [0.1, 1.0],
        3,
        0,
        runs.path(f"models/{LINEAR_PATH}"),
        CountingProgress(),
    )
    TorchHeadTrainer().train(
        FusionSpec(kind="gated", dim=8, bag_width=8),
        RECIPE,
        (0, 1),
        3,
        attrs.evolve(TRAIN, linear=scores.train),
        attrs.evolve(VALIDATION, linear=scores.validation),
        [runs.path(f"models/seed-{seed}") for seed in (0, 1)],
        RecordingTracker(),
        CountingProgress(),
    )
    return runs


@pytest.fixture(scope="module", name="found")
def _found(runs: MemoryRunStore) -> dict[str, Finding]:
    spool = MemorySpool()
    spool.write("test", [Example(f"text {row}", "any", {}) for row in range(60)])
    views = {name: ["0", "1", "2"] if name == "deep" else ["0"] for name in TEST.sources}
    subject = Subject("test", "test", np.arange(60), TEST.labels, ["a", "b", "c"], TEST.sources, views)
    explain = ExplainClassifier(TorchHeadInspector("cpu"), ScipyLinearPath(), spool, runs)
    return {one.name: one for one in explain(subject, "models", (0, 1), TRAIN.sources, 200)}


def test_the_path_s_share_is_told_and_both_are_what_scoring_gives(
    runs: MemoryRunStore, found: dict[str, Finding]
) -> None:
    linear = ScipyLinearPath().score(runs.path(f"models/{LINEAR_PATH}"), TEST.sources)
    heads = [runs.path(f"models/seed-{seed}") for seed in (0, 1)]
    both = TorchHeadScorer("cpu").score(heads, TEST.sources, linear)
    numbers = found["linear-path"].numbers
    assert numbers["path_alone"] == pytest.approx((linear.argmax(-1) == TEST.labels).mean())
    assert numbers["both"] == pytest.approx((both.argmax(-1) == TEST.labels).mean())
    assert len(numbers["scales"]) == 2
    assert found["sources"].numbers["accuracy"] == numbers["both"]


def test_a_source_alone_does_better_than_chance_through_network_and_path(found: dict[str, Finding]) -> None:
    header = found["sources"].header
    rows = {row[0]: dict(zip(header, row, strict=True)) for row in found["sources"].rows}
    assert list(rows) == ["deep", "flat", "words"]
    assert all(
        row["accuracy_alone"] > 0.45 for row in rows.values()
    )  # every source tells one of three labels


def test_a_path_that_is_gone_is_named(
    found: dict[str, Finding], runs: MemoryRunStore, tmp_path: Path
) -> None:
    assert found
    subject = Subject("test", "test", np.arange(60), TEST.labels, ["a", "b", "c"], TEST.sources, {})
    elsewhere = MemoryRunStore(tmp_path)
    for seed in (0, 1):
        Path(elsewhere.path(f"models/seed-{seed}")).symlink_to(runs.path(f"models/seed-{seed}"))
    explain = ExplainClassifier(TorchHeadInspector("cpu"), ScipyLinearPath(), MemorySpool(), elsewhere)
    with pytest.raises(ValueError, match=LINEAR_PATH):
        explain(subject, "models", (0, 1), TRAIN.sources, 200)
