"""Five seeds trained as one stacked computation, against five runs in turn.

    python benchmarks/stacked_seeds.py [DIRECTORY] [--cache DIR] [--device cpu] [--rows N] [--set train.epochs=3]

DIRECTORY holds train, valid and test files of labelled texts, which are embedded by all layers of MiniLM and by
n-grams; without one, random embeddings of the size of GoEmotions are taken. In turn means, first, this project's
trainer with one seed at a time, and second a plain torch loop over the same sources (`plain_loop`). No seed stops
early, so that all do the same work. The linear path is left out: it is fitted once, however many seeds add to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import torch
from labelled import embed, encoders, read_directory
from limits import synchronize
from plain_loop import PlainTraining
from record import save_result
from scipy.sparse import csr_array
from settings import fusion_and_recipe
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
    """Seconds and mean validation accuracy of all seeds: stacked, in turn, and in turn by the plain loop."""
    device = resolve_device(recipe.device)
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
    return [
        timed("stacked", lambda: ours(seeds), device),
        timed("in turn", lambda: [score for seed in seeds for score in ours([seed])], device),
        timed("plain loop in turn", lambda: plainly(seeds), device),
    ]


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


def with_ratios(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each path's seconds over those of the stack: above 1 the stack is faster."""
    stacked = results[0]["seconds"]
    return [{**result, "times_stacked": result["seconds"] / stacked} for result in results]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--cache", type=Path, default=Path("embeddings/benchmarks"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rows", type=int, default=23_485, help="train rows of random embeddings")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the recipe")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    fusion, recipe = fusion_and_recipe([f"train.device={arguments.device}", *arguments.set])
    if arguments.directory is None:
        train, validation, classes = synthetic(arguments.rows), synthetic(arguments.rows // 8, 1), CLASSES
    else:
        splits, names = read_directory(arguments.directory)
        by_name = encoders()
        train, validation = (
            embed(splits[name], by_name, arguments.cache) for name in ("train", "validation")
        )
        classes = len(names)
    epochs, _ = recipe.limits(len(train.labels))
    recipe = attrs.evolve(recipe, epochs=epochs, patience=epochs)
    results = with_ratios(measure(train, validation, classes, fusion, recipe))
    data = "random" if arguments.directory is None else arguments.directory.name
    settings = {
        "data": data,
        "rows": len(train.labels),
        "seeds": recipe.seeds,
        "epochs": epochs,
        "batch_size": recipe.batch_size,
    }
    name = f"stacked_seeds_{data}_{resolve_device(arguments.device).type}"
    print(save_result(name, settings, results, arguments.device, arguments.output))


if __name__ == "__main__":
    main()
