"""A small experiment over a tiny local model."""

from __future__ import annotations

import csv
from pathlib import Path
from random import Random
from typing import Any

import attrs
from tiny_models import save_tiny

WORDS = {
    "grief": ("sad", "lonely", "rain", "nobody", "stopped"),
    "joy": ("happy", "thank", "good", "quick", "fox"),
    "numbers": ("numbers", "signs", "0", "1", "2"),
}
EXPERIMENT = """
name = "tiny"

[dataset]
train = "train.csv"
test = "test.csv"

[encoders.bert]
model = "model"
layers = [-2, -1]

[encoders.last]
model = "model"

[encoders.lexical]
adapter = "lexical"
dim = 4096

[storage]
shard_rows = 16

[fusion]
kind = "gated"
residual = true

[train]
seeds = 2
epochs = 6
hidden_dims = [16]
batch_size = 16
learning_rate = 0.01

[evaluate]
draws = 200
costs = [0.1, 1.0]
"""


@attrs.frozen
class Job:
    """A directory with an experiment, and what its commands printed as JSON."""

    directory: Path
    extracted: Any
    trained: Any
    evaluated: Any


def write_rows(path: Path, rows: int, seed: int) -> None:
    """Labelled texts, each with a few words of its class."""
    random = Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for row in range(rows):
            label = random.choice(list(WORDS))
            words = [*random.choices(WORDS[label], k=3), *random.choices(["the", "day", "was", "for"], k=4)]
            writer.writerow([f"{' '.join(words)} {seed} {row}", label])


def write_job(directory: Path) -> None:
    """Write the experiment, its texts and its model."""
    save_tiny("bert", directory / "model")
    write_rows(directory / "train.csv", 90, 1)
    write_rows(directory / "test.csv", 40, 2)
    (directory / "tiny.toml").write_text(EXPERIMENT, encoding="utf-8")
