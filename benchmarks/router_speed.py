"""How long a router takes over prompts whose embeddings are stored.

    python benchmarks/router_speed.py SCORES.jsonl [--prompts 100000] [--seeds 5] [--rounds 5]
                                            [--cache DIRECTORY] [--output FILE]

SCORES as for `router_quality.py`. Routers are trained on its train and validation prompts of one split, and score
prompts drawn from all of it, each with its number behind it and its vector moved a little, so that no two are the
same. Ways take turns; told are medians of their seconds, and of prompts a second: of the ensemble of all seeds,
with how many of them kept a network, of what it stands on (the base), of as many networks without a base, and of
ridge and nearest neighbours on the same vectors.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from result_file import save_result
from router_quality import BASELINES, Answers, deal, read_answers
from silence import Silence, Unheard

from fusionapp.adapters.routers.baselines import NumpyBaselines
from fusionapp.adapters.routers.bases import StackBases
from fusionapp.adapters.torch_routers.opened import RouterEnsemble, TorchRouters
from fusionapp.adapters.torch_routers.trainer import TorchRouterTrainer
from fusionapp.adapters.torch_shared.router_inputs import text_features
from fusionapp.application.ports.router import Prompts
from fusionapp.domain.routing.recipe import RouterRecipe


def draw_prompts(answers: Answers, count: int) -> Prompts:
    """So many prompts, no two alike."""
    random = np.random.default_rng(0)
    rows = random.integers(0, len(answers.texts), count)
    texts = [f"{answers.texts[row]} {number}" for number, row in enumerate(rows)]
    noise = random.normal(scale=0.01, size=(count, *answers.vectors.shape[1:])).astype(np.float32)
    return Prompts(texts, {"minilm": answers.vectors[rows] + noise})


def train_ensemble(answers: Answers, recipe: RouterRecipe, seeds: int, folder: Path) -> RouterEnsemble:
    """One router a seed, opened as one."""
    train, validation = (answers.take(rows) for rows in deal(answers.texts, 0)[:2])
    directories = [str(folder / f"seed-{seed}") for seed in range(seeds)]
    TorchRouterTrainer(StackBases()).train(
        recipe, range(seeds), train, validation, directories, Unheard(), Silence()
    )
    return TorchRouters(StackBases()).open(directories)


def open_ways(answers: Answers, seeds: int, folder: Path) -> Mapping[str, Callable[[Prompts], object]]:
    """What scores prompts, by name."""
    ensemble = train_ensemble(answers, RouterRecipe(), seeds, folder / "stack")
    networks = train_ensemble(answers, RouterRecipe(base="none"), seeds, folder / "networks")
    kept = sum(member.network is not None for member in ensemble.members)
    train, validation = (answers.take(rows) for rows in deal(answers.texts, 0)[:2])
    baselines = {kind: NumpyBaselines().fit_baseline(kind, train, validation, 0) for kind in BASELINES}
    (base,) = ensemble.bases
    return {
        "base": lambda prompts: base.quality(prompts, text_features(prompts.texts)),
        f"ensemble of {seeds}, {kept} with a network": ensemble.score,
        f"{seeds} networks without a base": networks.score,
        **{kind: baseline.score for kind, baseline in baselines.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path)
    parser.add_argument("--prompts", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=Path, default=Path(".cache/benchmarks"))
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    answers = read_answers(asked.scores, asked.cache)
    prompts = draw_prompts(answers, asked.prompts)
    with TemporaryDirectory() as folder:
        ways = open_ways(answers, asked.seeds, Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(1 + asked.rounds):
            for name, way in ways.items():
                started = perf_counter()
                way(prompts)
                seconds[name].append(perf_counter() - started)
    results = []
    for name, each in seconds.items():
        middle = median(each[1:])  # the first round warms up
        results.append(
            {"way": name, "seconds": round(middle, 3), "prompts_per_second": round(asked.prompts / middle)}
        )
        print(f"{name:32} {middle:7.2f} s {asked.prompts / middle:10.0f} prompts/s")
    described = {
        "scores": asked.scores.name,
        "encoder": "minilm",
        "prompts": asked.prompts,
        "characters": round(float(np.mean([len(text) for text in prompts.texts])), 1),
        "models": len(answers.models),
        "seeds": asked.seeds,
        "rounds": asked.rounds,
    }
    name = f"router_speed_{asked.scores.name.split('.')[0]}"
    print(f"written to {save_result(name, described, results, 'cpu', asked.output)}")


if __name__ == "__main__":
    main()
