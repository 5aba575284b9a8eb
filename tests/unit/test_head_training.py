"""The training loop: seeds that do not feel each other, early stopping, and settings that all do something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress, only, toy_rows, with_path
from fakes.tracker import RecordingTracker
from safetensors.torch import load_file

from fusionapp.adapters.torch_heads.optimization import learning_rate
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.application.ports.heads import LabelledEmbeddings, TrainedHead
from fusionapp.domain.errors import ResourceError, UsageError
from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

RECIPE = TrainingRecipe(hidden_dims=(16,), epochs=8, batch_size=32, learning_rate=0.01, device="cpu")


def hard_rows(rows: int = 160, seed: int = 0) -> LabelledEmbeddings:
    """The toy with a third of its labels drawn at random, so that validation has an optimum to pass."""
    labelled = toy_rows(rows, seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(rows) < 1 / 3
    return attrs.evolve(labelled, labels=np.where(wrong, rng.integers(0, 3, rows), labelled.labels))


def fit(
    folder: Path,
    recipe: TrainingRecipe = RECIPE,
    seeds: Sequence[int] = (0,),
    tracker: RecordingTracker | None = None,
    train: LabelledEmbeddings | None = None,
    validation: LabelledEmbeddings | None = None,
    kind: FusionKind = "concat",
) -> Sequence[TrainedHead]:
    return TorchHeadTrainer("float32").train(
        FusionSpec(kind=kind, bag_width=8),
        recipe,
        seeds,
        3,
        train or hard_rows(),
        validation or hard_rows(seed=1),
        [str(folder / f"seed-{seed}") for seed in seeds],
        tracker or RecordingTracker(),
        CountingProgress(),
    )


def tensors(head: TrainedHead) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(Path(head.directory, "head.safetensors"))
    return loaded


OWN_WAYS = {
    "deep": SourceRecipe(normalize="standard", dropout=0.2),
    "flat": SourceRecipe(learning_rate=0.003),
    "words": SourceRecipe(bag_width=6, dropout=0.1, learning_rate=0.02),
}


@pytest.mark.parametrize(
    ("change", "kind", "path"),
    [
        ({}, "concat", False),
        ({"optimizer": "muon"}, "concat", False),
        ({"source_dropout": 0.3, "warmup": 0.2, "sources": OWN_WAYS}, "concat", True),
        ({"source_dropout": 0.3}, "late", False),
    ],
)
def test_a_seed_in_a_stack_of_five_is_the_seed_trained_alone(
    tmp_path: Path, change: dict[str, Any], kind: Any, path: bool
) -> None:
    recipe = attrs.evolve(RECIPE, patience=2, epochs=12, **change)
    splits = [hard_rows(), hard_rows(seed=1)]
    train, validation = (with_path(rows) for rows in splits) if path else splits
    both: dict[str, Any] = {"train": train, "validation": validation, "kind": kind}
    stacked = fit(tmp_path / "stack", recipe, [3, 5, 7, 11, 13], **both)
    assert len({head.epochs for head in stacked}) > 1  # some seeds left the stack before others
    for position, seed in ((1, 5), (4, 13)):
        (alone,) = fit(tmp_path / "alone", recipe, [seed], **both)
        assert (alone.best_epoch, alone.epochs) == (stacked[position].best_epoch, stacked[position].epochs)
        mine = tensors(alone)
        for name, tensor in tensors(stacked[position]).items():
            torch.testing.assert_close(mine[name], tensor, rtol=1e-3, atol=1e-4)


def test_seeds_differ(tmp_path: Path) -> None:
    one, two = fit(tmp_path, seeds=[0, 1])
    assert not torch.equal(tensors(one)["network.bags.2.table"], tensors(two)["network.bags.2.table"])


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "weighted_f1", "loss"])
def test_the_epoch_kept_is_the_first_best_of_the_metric_asked_for(tmp_path: Path, metric: Any) -> None:
    tracker = RecordingTracker()
    (head,) = fit(
        tmp_path, attrs.evolve(RECIPE, metric=metric, patience=100, calibrate=False), tracker=tracker
    )
    scores = [metrics[f"validation_{metric}"] for _, _, metrics in tracker.logged]
    best = min(scores) if metric == "loss" else max(scores)
    assert head.best_epoch == scores.index(best) + 1
    assert head.validation[metric] == best
    assert head.epochs == 8


def test_a_seed_stops_when_its_patience_is_spent(tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, patience=2, epochs=60)
    heads = fit(tmp_path, recipe, seeds=[0, 1, 2])
    assert all(head.epochs == head.best_epoch + 2 for head in heads)


def test_the_weights_kept_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    long = attrs.evolve(RECIPE, patience=3, epochs=60, schedule="constant")
    (head,) = fit(tmp_path / "long", long)
    (short,) = fit(tmp_path / "short", attrs.evolve(long, epochs=head.best_epoch))
    for name, tensor in tensors(short).items():
        torch.testing.assert_close(tensors(head)[name], tensor, rtol=0, atol=0)


EFFECTS: list[dict[str, Any]] = [
    {"hidden_dims": (16, 8)},
    {"hidden_dims": ()},
    {"dropout": 0.6},
    {"input_dropout": 0.6},
    {"optimizer": "adam"},
    {"optimizer": "muon"},
    {"learning_rate": 0.02},
    {"weight_decay": 0.5},
    {"schedule": "constant"},
    {"schedule": "linear"},
    {"batch_size": 16},
    {"epochs": 3},
    {"label_smoothing": 0.5},
    {"class_weights": "balanced"},
    {"warmup": 0.5},
    {"source_dropout": 0.5},
    {"sources": {"flat": SourceRecipe(normalize="none")}},
]


@pytest.mark.parametrize("change", EFFECTS)
def test_every_setting_of_the_recipe_has_an_effect(tmp_path: Path, change: dict[str, Any]) -> None:
    base = attrs.evolve(RECIPE, epochs=2)
    (one,), (two,) = fit(tmp_path / "base", base), fit(tmp_path / "changed", attrs.evolve(base, **change))
    assert (
        Path(one.directory, "head.safetensors").read_bytes()
        != Path(two.directory, "head.safetensors").read_bytes()
    )


def test_the_settings_tested_for_an_effect_are_all_that_the_trainer_reads() -> None:
    tested = {key for change in EFFECTS for key in change} | {"metric", "patience", "calibrate"}
    # The application turns these into seeds, splits and linear models; the device is the machine's, and encoders
    # are tuned by another trainer.
    elsewhere = {"seeds", "validation_fraction", "device", "linear_path", "linear_folds", "linear_costs"}
    elsewhere |= {"tune_encoders", "finetuning", "tuning"}
    assert tested | elsewhere == {field.name for field in attrs.fields(TrainingRecipe)}


def test_balanced_class_weights_raise_the_f1_of_a_rare_class(tmp_path: Path) -> None:
    rows = toy_rows(400)
    kept = np.flatnonzero((rows.labels != 2) | (np.arange(400) % 12 == 0))
    rare = LabelledEmbeddings(
        {name: x[kept] for name, x in only(rows, "words").sources.items()}, rows.labels[kept]
    )
    recipe = attrs.evolve(RECIPE, epochs=6)
    scores = [
        fit(
            tmp_path / weights,
            attrs.evolve(recipe, class_weights=weights),
            train=rare,
            validation=only(toy_rows(120, 1), "words"),
        )[0].validation["macro_f1"]
        for weights in ("none", "balanced")
    ]
    assert scores[1] > scores[0]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("cosine", [1, 0.853553, 0.5, 0.146447])],
)
def test_schedules_fall_from_the_learning_rate_towards_zero(schedule: Any, expected: list[float]) -> None:
    recipe = TrainingRecipe(learning_rate=2.0, schedule=schedule)
    assert [learning_rate(recipe, step, 4) / 2 for step in range(4)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [("constant", [0.5, 1, 1, 1]), ("linear", [0.5, 1, 1, 0.5]), ("cosine", [0.5, 1, 1, 0.5])],
)
def test_the_rate_rises_over_the_warm_up_and_only_then_falls(schedule: Any, expected: list[float]) -> None:
    recipe = TrainingRecipe(learning_rate=2.0, schedule=schedule, warmup=0.5)
    assert [learning_rate(recipe, step, 4) / 2 for step in range(4)] == pytest.approx(expected, abs=1e-6)


def test_a_warm_up_over_almost_all_steps_ends_at_the_full_rate() -> None:
    recipe = TrainingRecipe(learning_rate=1.0, warmup=0.999)
    assert [learning_rate(recipe, step, 2) for step in range(2)] == [0.5, 1.0]


def test_a_loss_that_is_not_finite_names_seed_epoch_and_what_to_lower(tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, learning_rate=1e30)
    with pytest.raises(UsageError, match=r"seed 4 .* epoch \d.*train\.learning_rate"):
        fit(tmp_path, recipe, seeds=[4])
    assert not list(tmp_path.iterdir())


def test_an_embedding_that_is_not_finite_names_source_and_row(tmp_path: Path) -> None:
    rows = toy_rows()
    rows.sources["flat"][17, 0, 3] = np.nan
    with pytest.raises(UsageError, match=r"'flat': row 17"):
        fit(tmp_path, train=rows)


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    rows = toy_rows()
    rows.labels[5] = 3
    with pytest.raises(UsageError, match="3 classes"):
        fit(tmp_path, train=rows)


def test_splits_with_other_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="validation"):
        fit(tmp_path, validation=only(toy_rows(), "flat"))


def test_memory_mapped_embeddings_are_taken(tmp_path: Path) -> None:
    rows = only(toy_rows(), "deep")
    np.save(tmp_path / "deep.npy", np.asarray(rows.sources["deep"]))
    mapped = LabelledEmbeddings({"deep": np.load(tmp_path / "deep.npy", mmap_mode="r")}, rows.labels)
    from_memory = fit(tmp_path / "a", train=rows, validation=rows)
    from_disk = fit(tmp_path / "b", train=mapped, validation=mapped)
    assert from_disk[0].validation == from_memory[0].validation


def test_running_out_of_memory_says_what_to_lower() -> None:
    with (
        pytest.raises(ResourceError, match=r"lower train\.batch_size"),
        memory_guard("lower train.batch_size"),
    ):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with (
        pytest.raises(ResourceError, match=r"lower train\.batch_size"),
        memory_guard("lower train.batch_size"),
    ):
        torch.empty(2**60)


def test_other_errors_of_torch_pass_through() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_guard("lower train.batch_size"):
        raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_a_run_that_diverges_in_its_last_step_is_refused_and_not_saved(tmp_path: Path, metric: Any) -> None:
    recipe = attrs.evolve(RECIPE, epochs=1, learning_rate=1e25, batch_size=4096, metric=metric)

    with pytest.raises(UsageError, match=r"became (nan|inf) in epoch 1; lower train.learning_rate"):
        fit(tmp_path, recipe)

    assert not list(tmp_path.rglob("head.safetensors"))
