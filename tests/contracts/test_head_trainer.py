"""What every head trainer and its scorer promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress, NearestMeanScorer, NearestMeanTrainer, only, toy_rows, with_path
from fakes.tracker import RecordingTracker

from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.heads import HeadScorer, HeadTrainer, LabelledEmbeddings, TrainedHead
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

RECIPE = TrainingRecipe(
    hidden_dims=(16,),
    epochs=12,
    batch_size=32,
    learning_rate=0.01,
    device="cpu",
    dropout=0.1,
    input_dropout=0.1,
)
SEEDS = (3, 5)


@attrs.frozen
class Pair:
    trainer: HeadTrainer
    scorer: HeadScorer


PAIRS = {
    "torch": Pair(TorchHeadTrainer(), TorchHeadScorer(device="cpu")),
    "nearest-mean": Pair(NearestMeanTrainer(), NearestMeanScorer()),
}


@pytest.fixture(params=PAIRS, name="pair")
def _pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]


def fit(
    pair: Pair,
    folder: Path,
    train: LabelledEmbeddings | None = None,
    validation: LabelledEmbeddings | None = None,
    fusion: FusionSpec | None = None,
) -> Sequence[TrainedHead]:
    return pair.trainer.train(
        fusion or FusionSpec(bag_width=8),
        RECIPE,
        SEEDS,
        3,
        train or toy_rows(),
        validation or toy_rows(100, seed=1),
        [str(folder / f"seed-{seed}") for seed in SEEDS],
        RecordingTracker(),
        CountingProgress(),
    )


def test_each_seed_gets_an_artefact_in_its_own_directory(pair: Pair, tmp_path: Path) -> None:
    heads = fit(pair, tmp_path)
    assert [head.seed for head in heads] == list(SEEDS)
    assert [head.directory for head in heads] == [str(tmp_path / f"seed-{seed}") for seed in SEEDS]
    for head in heads:
        assert sorted(path.name for path in Path(head.directory).iterdir()) == [
            "head.json",
            "head.safetensors",
        ]


def test_the_best_epoch_and_its_validation_metrics_are_reported(pair: Pair, tmp_path: Path) -> None:
    for head in fit(pair, tmp_path):
        assert 1 <= head.best_epoch <= head.epochs
        assert head.parameters > 0
        assert set(head.validation) == {"accuracy", "macro_f1", "weighted_f1", "loss"}


def test_a_learnable_toy_is_learned(pair: Pair, tmp_path: Path) -> None:
    assert all(head.validation["accuracy"] > 0.8 for head in fit(pair, tmp_path))


def test_scoring_gives_a_distribution_over_the_classes_for_each_head_and_row(
    pair: Pair, tmp_path: Path
) -> None:
    heads = fit(pair, tmp_path)
    scores = pair.scorer.score([head.directory for head in heads], toy_rows(40, seed=2).sources)
    assert scores.shape == (2, 40, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(-1), 1.0, rtol=1e-5)


def test_saved_heads_score_the_validation_accuracy_that_was_reported(pair: Pair, tmp_path: Path) -> None:
    heads, validation = fit(pair, tmp_path), toy_rows(100, seed=1)
    scores = pair.scorer.score([head.directory for head in heads], validation.sources)
    accuracies = (scores.argmax(-1) == validation.labels).mean(-1)
    assert list(accuracies) == [head.validation["accuracy"] for head in heads]


def test_the_batch_size_of_scoring_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    directories = [head.directory for head in fit(pair, tmp_path)]
    sources = toy_rows(40, seed=2).sources
    whole, parts = (
        pair.scorer.score(directories, sources),
        pair.scorer.score(directories, sources, batch_rows=7),
    )
    np.testing.assert_allclose(whole, parts, atol=1e-6)


def test_heads_keep_the_order_asked_for(pair: Pair, tmp_path: Path) -> None:
    one, two = (head.directory for head in fit(pair, tmp_path))
    sources = toy_rows(40, seed=2).sources
    forward, backward = pair.scorer.score([one, two], sources), pair.scorer.score([two, one], sources)
    np.testing.assert_allclose(forward, backward[::-1], atol=1e-6)
    assert not np.allclose(forward[0], forward[1], atol=1e-6)


def test_a_further_source_is_ignored_by_a_head_that_never_saw_it(pair: Pair, tmp_path: Path) -> None:
    train, validation = only(toy_rows(), "flat"), only(toy_rows(100, seed=1), "flat")
    directories = [head.directory for head in fit(pair, tmp_path, train, validation)]
    rows = toy_rows(40, seed=2)
    np.testing.assert_array_equal(
        pair.scorer.score(directories, rows.sources),
        pair.scorer.score(directories, only(rows, "flat").sources),
    )


def test_the_same_inputs_give_the_same_bytes(pair: Pair, tmp_path: Path) -> None:
    first, second = fit(pair, tmp_path / "first"), fit(pair, tmp_path / "second")
    for one, two in zip(first, second, strict=True):
        for name in ("head.safetensors", "head.json"):
            assert Path(one.directory, name).read_bytes() == Path(two.directory, name).read_bytes()


def test_every_epoch_of_every_seed_reaches_the_tracker(pair: Pair, tmp_path: Path) -> None:
    tracker = RecordingTracker()
    directories = [str(tmp_path / str(seed)) for seed in SEEDS]
    heads = pair.trainer.train(
        FusionSpec(), RECIPE, SEEDS, 3, toy_rows(), toy_rows(100, 1), directories, tracker, CountingProgress()
    )
    for head in heads:
        mine = [(step, metrics) for run, step, metrics in tracker.logged if run == f"seed-{head.seed}"]
        assert [step for step, _ in mine] == list(range(1, head.epochs + 1))
        wanted = {"train_loss", "train_accuracy", "validation_loss", "validation_accuracy"}
        assert all(wanted <= set(metrics) for _, metrics in mine)
        assert mine[head.best_epoch - 1][1]["validation_accuracy"] == head.validation["accuracy"]


def test_the_progress_bar_ends_full(pair: Pair, tmp_path: Path) -> None:
    progress = CountingProgress()
    directories = [str(tmp_path / str(seed)) for seed in SEEDS]
    pair.trainer.train(
        FusionSpec(),
        RECIPE,
        SEEDS,
        3,
        toy_rows(),
        toy_rows(100, 1),
        directories,
        RecordingTracker(),
        progress,
    )
    assert [task.done for task in progress.tasks] == [task.total for task in progress.tasks]


def test_an_impossible_fusion_is_refused(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="residual"):
        fit(pair, tmp_path, fusion=FusionSpec(kind="concat", residual=True))


def test_labels_without_embeddings_are_refused(pair: Pair, tmp_path: Path) -> None:
    rows = toy_rows()
    with pytest.raises(UsageError, match="rows"):
        fit(pair, tmp_path, train=attrs.evolve(rows, labels=rows.labels[:-1]))


def test_a_source_that_is_missing_at_scoring_is_named(pair: Pair, tmp_path: Path) -> None:
    directories = [head.directory for head in fit(pair, tmp_path)]
    with pytest.raises(UsageError, match="'words'"):
        pair.scorer.score(directories, only(toy_rows(), "deep", "flat").sources)


def fit_beside_path(pair: Pair, folder: Path) -> list[str]:
    heads = fit(pair, folder, with_path(toy_rows()), with_path(toy_rows(100, seed=1), seed=1))
    return [head.directory for head in heads]


def test_scores_of_a_linear_path_enter_those_of_the_head(pair: Pair, tmp_path: Path) -> None:
    directories, rows = fit_beside_path(pair, tmp_path), with_path(toy_rows(40, seed=2), seed=2)
    assert rows.linear is not None
    scores = pair.scorer.score(directories, rows.sources, rows.linear)
    pushed = rows.linear + np.array([9, 0, 0], dtype=np.float32)
    assert (pair.scorer.score(directories, rows.sources, pushed)[..., 0] >= scores[..., 0]).all()
    np.testing.assert_allclose(
        scores, pair.scorer.score(directories, rows.sources, rows.linear, 7), atol=1e-6
    )


def test_a_head_beside_a_linear_path_is_not_scored_without_it(pair: Pair, tmp_path: Path) -> None:
    directories = fit_beside_path(pair, tmp_path)
    with pytest.raises(UsageError, match="linear path"):
        pair.scorer.score(directories, toy_rows(10).sources)


def test_a_head_without_a_linear_path_is_not_scored_with_one(pair: Pair, tmp_path: Path) -> None:
    directories = [head.directory for head in fit(pair, tmp_path)]
    with pytest.raises(UsageError, match="linear path"):
        pair.scorer.score(directories, toy_rows(10).sources, np.zeros((10, 3), dtype=np.float32))


def test_a_linear_path_over_one_split_only_is_refused(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="linear path"):
        fit(pair, tmp_path, train=with_path(toy_rows()))


@pytest.mark.parametrize("name", ["head.json", "head.safetensors"])
def test_a_missing_file_is_a_corrupt_artefact_and_named(pair: Pair, tmp_path: Path, name: str) -> None:
    directory = fit(pair, tmp_path)[0].directory
    Path(directory, name).unlink()
    with pytest.raises(CorruptArtifactError, match=name):
        pair.scorer.score([directory], toy_rows().sources)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"null", b'{"format": 99}', b"\xff\xfe", b"[" * 10_000]
)
def test_json_that_describes_no_head_is_a_corrupt_artefact(
    pair: Pair, tmp_path: Path, content: bytes
) -> None:
    directory = fit(pair, tmp_path)[0].directory
    Path(directory, "head.json").write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"head\.json"):
        pair.scorer.score([directory], toy_rows().sources)


def test_cut_weights_are_a_corrupt_artefact(pair: Pair, tmp_path: Path) -> None:
    directory = fit(pair, tmp_path)[0].directory
    path = Path(directory, "head.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorruptArtifactError, match=r"head\.safetensors"):
        pair.scorer.score([directory], toy_rows().sources)
