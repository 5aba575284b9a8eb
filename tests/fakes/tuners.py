"""An encoder that costs nothing to tune: words with weights."""

from __future__ import annotations

from collections import Counter
from json import dumps
from math import log
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet, Preflight, TunedEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.recipe import TuningRecipe


class WordWeightTuner(EncoderTuner):
    """Texts are counts of words, whose weights move from their document frequency to its inverse, step by step.

    It keeps its weights in ``model/words.json``.
    """

    def preflight(self, recipe: TuningRecipe, pairs: int) -> Preflight:
        if pairs < recipe.negatives_pool:
            raise UsageError(
                f"train.negatives_pool: {recipe.negatives_pool} pairs make a step, but there are only {pairs}"
            )
        return Preflight(recipe.finetuning.method, 1, 1, {"float64": 1}, recipe.step_size, (), ())

    def tune(
        self,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedEncoder:
        preflight = self.preflight(recipe, len(train.pairs))
        if not len(validation.pairs):
            raise UsageError("train: there are no validation pairs, by which training stops")
        found = Counter(word for text in train.documents for word in set(text.split()))
        target = {word: log(1 + len(train.documents) / count) for word, count in found.items()}
        steps = recipe.epochs * (len(train.pairs) // recipe.negatives_pool)
        run, best_step, best, untuned = f"seed-{seed}", 0, {"mrr@10": -1.0}, {"mrr@10": 0.0}
        weights: dict[str, float] = {}
        with progress.task("train", steps * recipe.negatives_pool, "pairs") as bar:
            for step in range(steps + 1):
                part = step / steps
                now = {word: part * idf + (1 - part) * found[word] for word, idf in target.items()}
                metrics = _score(now, validation)
                if step:
                    rate = preflight.learning_rate
                    tracker.log(run, step, {"train_loss": metrics["loss"], "learning_rate": rate})
                    bar.advance(recipe.negatives_pool)
                if step % (steps // recipe.epochs) == 0:
                    tracker.log(run, step, {f"validation_{name}": value for name, value in metrics.items()})
                    untuned = metrics if step == 0 else untuned
                    if metrics["mrr@10"] > best["mrr@10"]:
                        best_step, best, weights = step, metrics, now
        folder = Path(directory, "model")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "words.json").write_text(dumps(weights), encoding="utf-8")
        return TunedEncoder(
            str(folder),
            preflight,
            best_step,
            steps,
            best,
            untuned,
            1.0,
            float(steps * recipe.negatives_pool),
            1,
            {},
        )


def _score(weights: dict[str, float], pairs: PairSet) -> dict[str, float]:
    words = {word: column for column, word in enumerate(weights)}

    def embed(texts: list[str]) -> NDArray[np.float64]:
        found = np.zeros((len(texts), len(words) + 1))
        for row, text in enumerate(texts):
            for word in text.split():
                found[row, words.get(word, -1)] += weights.get(word, 0.0)
        unit: NDArray[np.float64] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return unit

    scores = embed(list(pairs.queries)) @ embed(list(pairs.documents)).T
    asked, wanted = pairs.pairs.T
    own = scores[asked, wanted]
    ranks = (scores[asked] >= own[:, None]).sum(1)
    return {"mrr@10": float(np.where(ranks <= 10, 1 / ranks, 0).mean()), "loss": float(1 - own.mean())}
