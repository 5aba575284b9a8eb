"""Routers that cost nothing, and a toy that any router can learn."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from json import dumps, loads
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import (
    AnsweredPrompts,
    Prompts,
    Router,
    Routers,
    RouterTrainer,
    TrainedRouter,
)
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.answers import ScoreMatrix
from fusionapp.domain.routing.comparisons import enough_compared, scores_among
from fusionapp.domain.routing.conversions import battles_of_scores
from fusionapp.domain.routing.metrics import pairwise_agreement
from fusionapp.domain.routing.recipe import RouterRecipe

MODELS = ("algebra", "poetry", "both", "weak")
_WORDS = (("sum", "prime", "proof", "angle"), ("rhyme", "verse", "sonnet", "stanza"))


def toy_answers(rows: int = 120, seed: int = 0, unknown: float = 0.0) -> AnsweredPrompts:
    """Prompts of two topics, of which "algebra" and "poetry" know one each, "both" both a little, "weak" none.

    Args:
        rows: how many.
        seed: of everything.
        unknown: share of answers that are not known.
    """
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 2, rows)
    texts = [
        " ".join([*rng.choice(_WORDS[each], 3), f"number {number} of {seed}"])
        for number, each in enumerate(topic)
    ]
    vectors = rng.normal(size=(rows, 1, 12)) * 0.4
    vectors[:, 0, :2] += np.eye(2)[topic] * 2
    expected = np.array([[0.9, 0.1, 0.6, 0.1], [0.1, 0.9, 0.6, 0.1]])[topic]
    quality = np.clip(expected + rng.normal(size=expected.shape) * 0.1, 0, 1)
    quality[rng.random(quality.shape) < unknown] = np.nan
    return answers_of(Prompts(texts, {"dense": vectors.astype(np.float32)}), quality)


def answers_of(
    prompts: Prompts, quality: NDArray[np.float64], models: Sequence[str] = MODELS
) -> AnsweredPrompts:
    """Scores and the battles made of them; model i costs i + 1 cents."""
    cost = np.tile(np.arange(1.0, len(models) + 1) / 100, (len(quality), 1))
    scores = ScoreMatrix(models, quality, cost, np.full(quality.shape, np.nan))
    return AnsweredPrompts(prompts, scores, battles_of_scores(scores))


@attrs.frozen(eq=False)
class NearestPromptRouter(Router):
    """Scores a prompt as the nearest ones of train are scored; means stand for what is not known."""

    models: Sequence[str]
    name: str
    vectors: NDArray[np.float32]
    scores: NDArray[np.float32]

    def score(self, prompts: Prompts) -> NDArray[np.float32]:
        rows = prompts.embeddings.get(self.name)
        width = self.vectors.shape[1]
        if not isinstance(rows, np.ndarray) or rows.shape[1] * rows.shape[2] != width:
            raise UsageError(f"routing: no embeddings of {self.name!r} {width} wide")
        flat = rows.reshape(len(rows), width)
        distances = ((flat[:, None] - self.vectors) ** 2).sum(-1)
        nearest = self.scores[np.argsort(distances, axis=1)[:, :5]].mean(1)
        return np.asarray(nearest, dtype=np.float32)

    def success(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((scores + 1) / 2, dtype=np.float32)


class NearestPromptTrainer(RouterTrainer):
    """Remembers train's prompts and scores."""

    def train(
        self,
        recipe: RouterRecipe,
        seeds: Sequence[int],
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedRouter]:
        models = enough_compared(train.battles, recipe.min_model_comparisons)
        if list(train.scores.models) != list(validation.scores.models):
            raise UsageError("training: train and validation are of different models")
        if not train.prompts.embeddings:
            raise UsageError("training: no embeddings")
        quality, judged = (scores_among(each.scores, models).quality for each in (train, validation))
        name, rows = next(iter(train.prompts.embeddings.items()))
        assert isinstance(rows, np.ndarray)
        vectors = rows.reshape(len(rows), -1)
        scores = (2 * np.where(np.isnan(quality), np.nanmean(quality, axis=0), quality) - 1).astype(
            np.float32
        )
        router = NearestPromptRouter(models, name, vectors, scores)
        told = router.score(validation.prompts)
        chosen = np.nanmean(judged[np.arange(len(judged)), told.argmax(1)])
        metrics = {
            "quality": float(chosen),
            "pairwise_accuracy": pairwise_agreement(told, judged).value,
            "loss": float(np.nanmean(((told + 1) / 2 - judged) ** 2)),
        }
        found = []
        with progress.task("train routers", total=len(seeds), unit="epochs") as task:
            for seed, directory in zip(seeds, directories, strict=True):
                # safetensors writes the bytes as they lie: columns taken from a matrix lie the other way round.
                content = save({"vectors": vectors, "scores": np.ascontiguousarray(scores)})
                folder = Path(directory)
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "router.safetensors").write_bytes(content)
                card = {"models": models, "name": name, "sha256": sha256(content).hexdigest()}
                (folder / "router.json").write_text(dumps(card), encoding="utf-8")
                tracker.log(f"seed-{seed}", 1, {f"validation_{key}": value for key, value in metrics.items()})
                task.advance(1)
                found.append(TrainedRouter(directory, seed, 1, 1, scores.size, metrics))
        return found


class NearestPromptRouters(Routers):
    """Opens what `NearestPromptTrainer` saved; its seeds are all alike."""

    def open(self, directories: Sequence[str]) -> Router:
        if not directories:
            raise UsageError("routing: no router")
        opened = [_load(Path(directory)) for directory in directories]
        if any(router.models != opened[0].models for router in opened):
            raise UsageError("routing: routers are over different models")
        return opened[0]


def _load(folder: Path) -> NearestPromptRouter:
    try:
        card = loads((folder / "router.json").read_text(encoding="utf-8"))
        content = (folder / "router.safetensors").read_bytes()
        if sha256(content).hexdigest() != card["sha256"]:
            raise CorruptArtifactError(f"{folder / 'router.safetensors'}: changed")
        arrays = load(content)
        return NearestPromptRouter(card["models"], card["name"], arrays["vectors"], arrays["scores"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, CorruptArtifactError):
            raise
        raise CorruptArtifactError(f"{folder}: no router ({error})") from error
