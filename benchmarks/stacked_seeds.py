"""Five seeds trained as one stacked computation, against five runs in turn.

    python benchmarks/stacked_seeds.py [DIRECTORY] [--cache DIR] [--device cpu] [--rows N] [--set train.epochs=3]

DIRECTORY holds train, valid and test files of labelled texts, which are embedded by all layers of MiniLM and by
n-grams; without one, random embeddings of the size of GoEmotions are taken. In turn means, first, this project's
trainer with one seed at a time, and second a plain torch loop over the same sources (`plain_loop`). No seed stops
early, so that all do the same work. The linear path is left out: it is fitted once, however many seeds add to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from labelled import embed, encoders, read_directory
from plain_loop import unlike_plain_loop
from recipe_settings import fusion_and_recipe
from result_file import save_result
from seed_timing import CLASSES, measure, synthetic

from fusionapp.adapters.torch_shared.device import resolve_device


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
    if unlike := unlike_plain_loop(fusion, recipe):
        parser.error(f"the plain loop knows nothing of {', '.join(unlike)}; it would train another network")
    if arguments.directory is None:
        train, validation, classes = synthetic(arguments.rows), synthetic(arguments.rows // 8, 1), CLASSES
    else:
        splits, names = read_directory(arguments.directory)
        by_name = encoders()
        train, validation = (
            embed(splits[name], by_name, arguments.cache) for name in ("train", "validation")
        )
        classes = len(names)
    results = measure(train, validation, classes, fusion, recipe)
    data = "random" if arguments.directory is None else arguments.directory.name
    settings = {
        "data": data,
        "rows": len(train.labels),
        "seeds": recipe.seeds,
        "epochs": recipe.limits(len(train.labels))[0],
        "batch_size": recipe.batch_size,
        "set": arguments.set,
    }
    name = f"stacked_seeds_{data}_{resolve_device(arguments.device).type}"
    print(save_result(name, settings, results, arguments.device, arguments.output))


if __name__ == "__main__":
    main()
