"""Random embeddings of the size of GoEmotions, and the seconds of training several seeds over any embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import torch
from device_limits import synchronize
from plain_loop import PlainTraining
from scipy.sparse import csr_array
from silence import Silence

from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.tracking.fan_out import FanOutTracker
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

CLASSES = 27
COLUMNS, CELLS = 2**20, 180
"""Hash buckets, and n-grams of a text, of GoEmotions."""


def synthetic(rows: int, seed: int = 0) -> LabelledEmbeddings:
    """Rows of six layers of 384 beside CSR counts whose columns are as skewed as n-grams are."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, rows)
    centres = np.random.default_rng(1).standard_normal((CLASSES, 6, 384), dtype=np.float32)
    dense = centres[labels] + 4 * rng.standard_normal((rows, 6, 384), dtype=np.float32)
    columns = np.minimum(rng.pareto(0.5, (rows, CELLS)) * 20, COLUMNS - 1).astype(np.int32)
    cells = np.ones(columns.size, dtype=np.float32)
    counts = csr_array((cells, columns.ravel(), np.arange(0, columns.size + 1, CELLS)), (rows, COLUMNS))
    counts.sum_duplicates()
    return LabelledEmbeddings({"minilm": dense, "lexical": counts}, labels)


def measure(
    train: LabelledEmbeddings,
    validation: LabelledEmbeddings,
    classes: int,
    fusion: FusionSpec,
    recipe: TrainingRecipe,
) -> list[dict[str, Any]]:
    """Seconds and mean validation accuracy of all seeds: stacked, in turn, and in turn by the plain loop.

    No seed stops early, so that all do the same work. `times_stacked` above 1 says that the stack is faster.
    """
    device = resolve_device(recipe.device)
    epochs, _ = recipe.limits(len(train.labels))
    recipe = attrs.evolve(recipe, epochs=epochs, patience=epochs)
    seeds = list(range(recipe.seeds))

    def ours(some: Sequence[int], rows: LabelledEmbeddings = train) -> list[float]:
        with TemporaryDirectory() as folder:
            places = [str(Path(folder) / str(seed)) for seed in some]
            silent = FanOutTracker([]), Silence()
            heads = TorchHeadTrainer().train(fusion, recipe, some, classes, rows, validation, places, *silent)
        return [head.validation["accuracy"] for head in heads]

    def plainly(some: Sequence[int], rows: LabelledEmbeddings = train) -> list[float]:
        training = PlainTraining(fusion, recipe, classes, rows, validation, device)
        return [training(seed) for seed in some]

    few = first_rows(train, 2 * recipe.batch_size)
    ours(seeds, few)
    ours(seeds[:1], few)
    plainly(seeds[:1], few)
    results = [
        timed("stacked", lambda: ours(seeds), device),
        timed("in turn", lambda: [score for seed in seeds for score in ours([seed])], device),
        timed("plain loop in turn", lambda: plainly(seeds), device),
    ]
    return [{**result, "times_stacked": result["seconds"] / results[0]["seconds"]} for result in results]


def first_rows(embeddings: LabelledEmbeddings, rows: int) -> LabelledEmbeddings:
    """The first rows of every source, over which libraries choose their kernels before anything is timed."""
    sources = {name: source[:rows] for name, source in embeddings.sources.items()}
    return LabelledEmbeddings(sources, embeddings.labels[:rows])


def timed(name: str, run: Callable[[], list[float]], device: torch.device) -> dict[str, Any]:
    """Seconds of one call, preparation of the data included, and the mean of the scores that it returns."""
    synchronize(device)
    start = perf_counter()
    scores = run()
    synchronize(device)
    found = {"path": name, "seconds": perf_counter() - start, "validation_accuracy": mean(scores)}
    print(f"{name}: {found['seconds']:.1f} s, validation accuracy {mean(scores):.4f}", flush=True)
    return found
