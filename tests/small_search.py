"""A small search to be tuned: sixty pairs, one tiny encoder, seconds of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from tiny_models import tiny_model
from tuning_pairs import toy_pairs

TOPICS = ("animals", "weather", "houses")

EXPERIMENT = """
name = "s"
seed = 0

[task]
kind = "retrieve"

[dataset]
train = "pairs.jsonl"
topic = "topic"
date = "date"
id = ["paper"]
split_by = "date"
test_fraction = 0.25
validation_fraction = 0.2

[encoders.tiny]
model = "{model}"
pooling = "mean"
device = "cpu"
dtype = "float32"

[storage]
shard_rows = 16

[train]
seeds = 2
epochs = 3
negatives_pool = 8
learning_rate = 1e-2
dtype = "float32"
device = "cpu"
evaluations = 1

[evaluate]
draws = 200
depth = 20
"""


@attrs.frozen
class SearchJob:
    """The search after its commands, and what each printed.

    Attributes:
        directory: where it was run.
        printed: by command.
    """

    directory: Path
    printed: dict[str, Any]


def pair_rows(count: int = 60) -> list[dict[str, str]]:
    """Rows of a file of pairs: topics in turn, a day later each."""
    pairs = toy_pairs(count)
    return [
        {
            "query": query,
            "document": document,
            "paper": f"p{row:02}",
            "topic": TOPICS[row % 3],
            "date": f"2024-{1 + row // 28:02}-{1 + row % 28:02}",
        }
        for row, (query, document) in enumerate(zip(pairs.queries, pairs.documents, strict=True))
    ]


def write_pairs(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_search(directory: Path, more: str = "") -> None:
    """Lay pairs.jsonl and s.toml into a directory; `more` is added to the file."""
    write_pairs(directory / "pairs.jsonl", pair_rows())
    text = EXPERIMENT.format(model=tiny_model("bert")) + more
    (directory / "s.toml").write_text(text, encoding="utf-8")
