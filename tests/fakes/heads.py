"""Heads that cost nothing: the class whose mean is nearest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from json import JSONDecodeError, dumps, loads
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array, issparse

from fusionapp.application.ports.heads import HeadScorer, HeadTrainer, LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.metrics import accuracy, macro_f1, weighted_f1
from fusionapp.domain.recipe import TrainingRecipe

_BUCKETS = 64


class NearestMeanTrainer(HeadTrainer):
    """Keeps each class's mean embedding; a seed moves the means a little, so that seeds differ."""

    def train(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedHead]:
        _check(fusion, train, validation)
        x, judged = _features(train.sources), _features(validation.sources)
        heads = []
        with progress.task("train heads", total=len(seeds), unit="epochs") as task:
            for seed, directory in zip(seeds, directories, strict=True):
                means = np.stack(
                    [
                        x[train.labels == c].mean(0) if (train.labels == c).any() else x.mean(0)
                        for c in range(classes)
                    ]
                )
                means += np.random.default_rng(seed).normal(0, 1e-3, means.shape)
                metrics = _metrics(nearest_probabilities(means, judged, validation.linear), validation.labels)
                tracked = {f"validation_{name}": value for name, value in metrics.items()}
                trained = _metrics(nearest_probabilities(means, x, train.linear), train.labels)
                tracked |= {f"train_{name}": trained[name] for name in ("loss", "accuracy")}
                tracker.log(f"seed-{seed}", 1, tracked)
                Path(directory).mkdir(parents=True, exist_ok=True)
                save_file({"means": means.astype(np.float32)}, Path(directory, "head.safetensors"))
                linear = train.linear is not None
                card = {"format": 2, "sources": list(train.sources), "seed": seed, "linear": linear}
                Path(directory, "head.json").write_text(dumps(card), encoding="utf-8")
                heads.append(TrainedHead(directory, seed, 1, 1, means.size, metrics))
                task.advance(1, validation_accuracy=metrics["accuracy"])
        return heads


class NearestMeanScorer(HeadScorer):
    """Softmax of the negative squared distances to the means."""

    def score(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        linear: NDArray[np.float32] | None = None,
        batch_rows: int = 1024,
    ) -> NDArray[np.float32]:
        scored = []
        for directory in directories:
            names, means, beside_path = load_means(Path(directory))
            if missing := [name for name in names if name not in sources]:
                raise UsageError(f"scoring: source {missing[0]!r} is missing")
            if beside_path != (linear is not None):
                raise UsageError(
                    f"scoring: {directory}: a linear path is there that was not in training, or not"
                )
            features = _features({name: sources[name] for name in names})
            scored.append(nearest_probabilities(means, features, linear))
        return np.stack(scored).astype(np.float32)


def _check(fusion: FusionSpec, *splits: LabelledEmbeddings) -> None:
    if problems := fusion.problems():
        raise UsageError("\n".join(problems))
    for labelled in splits:
        if not labelled.sources or not len(labelled.labels):
            raise UsageError("training: no sources or no rows")
        if (labelled.linear is None) != (splits[0].linear is None):
            raise UsageError("training: one split has the linear path's scores, the other has not")
        if any(source.shape[0] != len(labelled.labels) for source in labelled.sources.values()):
            raise UsageError("training: labels and sources differ in rows")


def load_means(directory: Path) -> tuple[list[str], NDArray[np.float32], bool]:
    try:
        card = loads((directory / "head.json").read_text(encoding="utf-8"))
        names = [str(name) for name in card["sources"]] if card["format"] == 2 else []
        linear = bool(card["linear"])
    except (OSError, JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError) as error:
        raise CorruptArtifactError(f"{directory / 'head.json'}: {error}") from error
    if not names:
        raise CorruptArtifactError(f"{directory / 'head.json'}: no sources")
    try:
        return names, load_file(directory / "head.safetensors")["means"], linear
    except (OSError, SafetensorError, KeyError) as error:
        raise CorruptArtifactError(f"{directory / 'head.safetensors'}: {error}") from error


def _features(sources: Mapping[str, Embeddings]) -> NDArray[np.float64]:
    return np.concatenate([flattened(source) for source in sources.values()], axis=1)


def flattened(source: Embeddings) -> NDArray[np.float64]:
    if not issparse(source):
        return np.asarray(source, dtype=np.float64).reshape(len(source), -1)
    cells = csr_array(source).tocoo()
    flat = np.zeros((source.shape[0], _BUCKETS))
    np.add.at(flat, (cells.row, cells.col % _BUCKETS), cells.data)
    return flat


def nearest_probabilities(
    means: NDArray[np.floating], x: NDArray[np.float64], linear: NDArray[np.float32] | None
) -> NDArray[np.float64]:
    logits = -((x[:, None] - means[None]) ** 2).sum(-1)
    if linear is not None:
        logits = logits + linear
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)  # type: ignore[no-any-return]  # numpy types a ratio as Any


def _metrics(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    predicted = probabilities.argmax(-1)
    likelihood = probabilities[np.arange(len(labels)), labels]
    return {
        "accuracy": accuracy(labels, predicted),
        "macro_f1": macro_f1(labels, predicted),
        "weighted_f1": weighted_f1(labels, predicted),
        "loss": float(-np.log(np.maximum(likelihood, 1e-30)).mean()),
    }


@attrs.define
class CountingTask:
    """One bar that remembers how far it came."""

    name: str
    total: int
    done: int = 0

    def advance(self, amount: int, **rates: float) -> None:
        self.done += amount


class CountingProgress(Progress):
    """Keeps every bar that was opened."""

    def __init__(self) -> None:
        self.tasks: list[CountingTask] = []

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[CountingTask]:
        task = CountingTask(name, total, done)
        self.tasks.append(task)
        yield task


def toy_rows(rows: int = 240, seed: int = 0, classes: int = 3) -> LabelledEmbeddings:
    """A learnable toy: two dense sources, one of three layers, and one of sparse counts over 50 columns.

    Each source holds the label's direction in noise; every tenth row's dense vectors are zero, as a blank
    text's may be.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, rows)
    deep = rng.normal(size=(rows, 3, 12)) * 0.5
    deep[:, :, :classes] += np.eye(classes)[labels][:, None] * 2
    flat = rng.normal(size=(rows, 1, 8)) * 0.5
    flat[:, 0, :classes] += np.eye(classes)[labels] * 2
    deep[::10] = 0
    flat[::10] = 0
    counts = rng.random((rows, 50)) < 0.1
    words = counts.astype(np.float32)
    words[np.arange(rows), labels] += 2
    sources: dict[str, Embeddings] = {
        "deep": deep.astype(np.float32),
        "flat": flat.astype(np.float32),
        "words": csr_array(words),
    }
    return LabelledEmbeddings(sources, labels.astype(np.int64))


def only(labelled: LabelledEmbeddings, *names: str) -> LabelledEmbeddings:
    """The same rows with some of the sources."""
    return attrs.evolve(labelled, sources={name: labelled.sources[name] for name in names})


def with_path(labelled: LabelledEmbeddings, seed: int = 0) -> LabelledEmbeddings:
    """The same rows beside a linear path that is often right."""
    noise = np.random.default_rng(seed).normal(size=(len(labelled.labels), 3))
    return attrs.evolve(labelled, linear=(np.eye(3)[labelled.labels] + 0.5 * noise).astype(np.float32))
