"""The router against its own base, ridge, nearest neighbours and the best single model, on several prompt splits.

    python benchmarks/router_quality.py SCORES [--splits 5] [--first 0] [--seeds 5] [--cache DIRECTORY]
                                        [--prices PRICES] [--output FILE] [--set loss=margin ...]

SCORES is a JSONL file (or .gz) with a `prompt` and its `scores` by model, between 0 and 1, in each line. Prompts
are embedded by MiniLM (extra `demo`), once: the cache keeps the vectors. A prompt's split is drawn from the
SHA-256 of the split's number and the text: 20 % test, 12 % validation, the rest train; equal texts fall
together. All settings are chosen on train and validation. Each result is the mean quality of the chosen answer on
test less that of the best single model of train, with 95 % intervals by paired bootstrap over prompts; pooled, a
prompt's share in the test sets of several splits is drawn together. With PRICES, a JSON file of USD per million
tokens by model, their AIQ is told too, every answer taken for 256 tokens.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import numpy as np
from labelled import Texts, embed
from numpy.typing import NDArray
from result_file import save_result
from router_aiq import ANSWER_TOKENS, Curves, compare_aiq, costs_of
from silence import Silence, Unheard

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.routers.baselines import NumpyBaselines
from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.torch_routers.opened import TorchRouters
from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer
from fusionapp.application.ports.router import AnsweredPrompts, BaselineKind, Prompts, Router
from fusionapp.domain.routing.answers import ScoreMatrix
from fusionapp.domain.routing.conversions import battles_of_scores
from fusionapp.domain.routing.features import prompt_features
from fusionapp.domain.routing.mapping import score_of_quality
from fusionapp.domain.routing.metrics import (
    Ratio,
    best_single,
    bootstrap_ratios,
    chosen_quality,
    pairwise_agreement,
)
from fusionapp.domain.routing.prices import Prices
from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.domain.statistics.bootstrap import interval

TEST, VALIDATION = 0.2, 0.12
BASELINES: tuple[BaselineKind, ...] = ("ridge", "knn")
AGAINST = ("best_single", *BASELINES, "base")


@attrs.frozen(eq=False)
class Answers:
    """All that is known.

    Attributes:
        texts: (prompts,).
        models: names.
        quality: (prompts, models).
        cost: (prompts, models) USD; None without prices.
        vectors: (prompts, 1, dim).
    """

    texts: Sequence[str]
    models: Sequence[str]
    quality: NDArray[np.float64]
    cost: NDArray[np.float64] | None
    vectors: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> AnsweredPrompts:
        """Some prompts with scores and battles."""
        quality = self.quality[rows]
        unknown = np.full(quality.shape, np.nan)
        scores = ScoreMatrix(self.models, quality, unknown, unknown)
        prompts = Prompts([self.texts[row] for row in rows], {"minilm": self.vectors[rows]})
        return AnsweredPrompts(prompts, scores, battles_of_scores(scores))


def read_answers(path: Path, cache: Path, prices: Path | None = None) -> Answers:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in content.splitlines()]
    models = sorted({model for row in rows for model in row["scores"]})
    quality = np.array(
        [[row["scores"].get(model, np.nan) for model in models] for row in rows], dtype=np.float64
    )
    texts = [row["prompt"] for row in rows]
    encoder = HuggingFaceEncoder("minilm")
    labels = np.zeros(len(texts), dtype=np.int64)
    vectors = embed(Texts(texts, labels), {"minilm-pooled": encoder}, cache).sources["minilm-pooled"]
    cost = None
    if prices is not None:
        cost = costs_of(texts, models, Prices.of(json.loads(prices.read_text("utf-8")), str(prices)))
    return Answers(texts, models, quality, cost, np.asarray(vectors))


def deal(texts: Sequence[str], split: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of train, validation and test."""
    digests = (sha256(f"{split}:{text}".encode("utf-8", "surrogatepass")).hexdigest() for text in texts)
    place = np.array([int(digest[:8], 16) / 2**32 for digest in digests])
    test, validation = place < TEST, (place >= TEST) & (place < TEST + VALIDATION)
    return np.flatnonzero(~test & ~validation), np.flatnonzero(validation), np.flatnonzero(test)


def score_split(
    answers: Answers, split: int, recipe: RouterRecipe, seeds: Sequence[int]
) -> tuple[dict[str, NDArray[np.floating]], NDArray[np.int64], Curves | None, dict[str, Any]]:
    """Scores on test by router, the rows of test, cost against quality, and what training said."""
    train_rows, validation_rows, test_rows = deal(answers.texts, split)
    train, validation, test = (answers.take(rows) for rows in (train_rows, validation_rows, test_rows))
    started = perf_counter()
    with TemporaryDirectory() as folder:
        directories = [str(Path(folder, f"seed-{seed}")) for seed in seeds]
        trained = TorchRouterTrainer(StackBases()).train(
            recipe, seeds, train, validation, directories, Unheard(), Silence()
        )
        routers: dict[str, Router] = {"router": TorchRouters(StackBases()).open(directories)}
    seconds = perf_counter() - started
    for kind in BASELINES:
        routers[kind] = NumpyBaselines().fit_baseline(kind, train, validation, 0)
    scores: dict[str, NDArray[np.floating]] = {
        name: router.score(test.prompts) for name, router in routers.items()
    }
    base = StackBases().fit(train, prompt_features(train.prompts.texts)).base
    scores["base"] = score_of_quality(base.quality(test.prompts, prompt_features(test.prompts.texts)))
    curves = None
    if answers.cost is not None:
        success = {name: router.success(scores[name].astype(np.float32)) for name, router in routers.items()}
        curves = Curves.of(scores, success, test.scores.quality, answers.cost[test_rows], test_rows)
    single = np.full(scores["router"].shape, -1.0)
    single[:, best_single(train.scores.quality)] = 1.0
    scores["best_single"] = single
    told = {
        "seconds": round(seconds, 1),
        "weights": dict(base.weights),
        "seeds_with_network": sum(router.best_epoch > 0 for router in trained),
    }
    return scores, test_rows, curves, told


def compare(
    scores: Mapping[str, NDArray[np.floating]], quality: NDArray[np.float64]
) -> tuple[dict[str, Ratio], dict[str, Ratio]]:
    """By router: how far its chosen answers stand from those of each other one, and its pairwise accuracy."""
    chosen = {name: chosen_quality(quality, each.argmax(axis=1)) for name, each in scores.items()}
    gains = {}
    for name in ("router", "base", *BASELINES):
        for other in AGAINST:
            if name != other and (name == "router" or other == "best_single"):
                difference = chosen[name] - chosen[other]
                known = ~np.isnan(difference)
                gains[f"{name} - {other}"] = Ratio(np.where(known, difference, 0.0), known.astype(np.float64))
    return gains, {name: pairwise_agreement(each, quality) for name, each in scores.items()}


def summary(gains: Mapping[str, Ratio], accuracies: Mapping[str, Ratio]) -> dict[str, Any]:
    """Estimates with intervals, ready for JSON."""
    replicates = bootstrap_ratios(gains)
    quality = {}
    for name, ratio in gains.items():
        bounds = interval(replicates[name])
        quality[name] = {
            "estimate": round(ratio.value, 5),
            "interval": [round(bounds.low, 5), round(bounds.high, 5)],
        }
    accuracy = {name: round(ratio.value, 5) for name, ratio in accuracies.items()}
    return {"quality": quality, "pairwise_accuracy": accuracy}


def pooled(parts: Sequence[tuple[Mapping[str, Ratio], NDArray[np.int64]]], prompts: int) -> dict[str, Ratio]:
    """Ratios of all splits over all prompts."""
    found = {}
    for name in parts[0][0]:
        total, count = np.zeros(prompts), np.zeros(prompts)
        for ratios, rows in parts:
            total[rows] += ratios[name].total
            count[rows] += ratios[name].count
        found[name] = Ratio(total, count)
    return found


def show(name: str, found: Mapping[str, Any]) -> None:
    print(name)
    for measure in ("quality", "pairwise_accuracy", "aiq"):
        values = ", ".join(f"{key} {_told(value)}" for key, value in found.get(measure, {}).items())
        print(f"  {measure.replace('_', ' ')}: {values}", flush=True)


def _told(value: float | Mapping[str, Any]) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    low, high = value["interval"]
    return f"{value['estimate']:+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first split")
    parser.add_argument("--prices", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(".cache/benchmarks"))
    parser.add_argument("--set", dest="sets", nargs="*", default=[], help="settings of the recipe, NAME=JSON")
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    settings = {name: _value(text) for name, _, text in (each.partition("=") for each in asked.sets)}
    recipe = RouterRecipe(**settings)
    answers = read_answers(asked.scores, asked.cache, asked.prices)
    results, gains, accuracies, curves = [], [], [], []
    for split in range(asked.first, asked.first + asked.splits):
        scores, rows, curve, told = score_split(answers, split, recipe, range(asked.seeds))
        gain, accuracy = compare(scores, answers.quality[rows])
        gains.append((gain, rows))
        accuracies.append((accuracy, rows))
        found = summary(gain, accuracy) | told
        if curve is not None:
            curves.append(curve)
            found["aiq"] = compare_aiq([curve], len(rows), "router", BASELINES)
        results.append({"split": split, "prompts": len(rows), **found})
        show(f"split {split}", found)
    prompts = len(answers.texts)
    whole = summary(pooled(gains, prompts), pooled(accuracies, prompts))
    if curves:
        whole["aiq"] = compare_aiq(curves, prompts, "router", BASELINES)
    results.append({"split": "pooled", "prompts": prompts, **whole})
    show("pooled", whole)
    described = {
        "scores": asked.scores.name,
        "encoder": "minilm",
        "splits": asked.splits,
        "first": asked.first,
        "seeds": asked.seeds,
        "recipe": settings,
        "prices": None if asked.prices is None else json.loads(asked.prices.read_text("utf-8")),
        "answer_tokens": ANSWER_TOKENS,
    }
    path = save_result(
        f"router_quality_{asked.scores.name.split('.')[0]}", described, results, "cpu", asked.output
    )
    print(f"written to {path}")


def _value(text: str) -> Any:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    return tuple(found) if isinstance(found, list) else found


if __name__ == "__main__":
    main()
