"""A small routing: 100 prompts of two topics, three models of which one is cheap, one tiny encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from tiny_models import tiny_model

MODELS = ("small", "poet", "solver")
COSTS = (0.001, 0.01, 0.01)
_TOPICS = {
    "verse": ("a rhyme", "a sonnet", "a ballad", "a stanza", "an ode"),
    "sums": ("a sum", "a prime", "an angle", "a proof", "a root"),
}
_FORMS = ("write {} about number {}", "what of {} and {}?", "{} of {} please")
_SIGNS = {"verse": "for a book that a lonely reader loves", "sums": "( 1 + 2 ) - 3 : 4 ; 5 - 6 !"}
"""What even an encoder of random weights tells apart."""

EXPERIMENT = """
name = "r"
seed = 0

[task]
kind = "route"

[dataset]
train = "answers.jsonl"
id = ["prompt_id"]

[encoders.tiny]
model = "{model}"
pooling = "mean"
device = "cpu"
dtype = "float32"

[storage]
shard_rows = 16

[train]
seeds = 2
epochs = 2
embedding_model_epochs = 1
hidden_dims = [16]
embedding_dims = [8]
device = "cpu"

[evaluate]
draws = 600
"""


@attrs.frozen
class RouteJob:
    """The routing after its commands, and what each printed.

    Attributes:
        directory: where it was run.
        printed: by command.
    """

    directory: Path
    printed: dict[str, Any]


def prompt(topic: str, row: int) -> str:
    """One of "verse" or "sums"; another for each row."""
    return f"{_FORMS[row % 3].format(_TOPICS[topic][row // 2 % 5], row)} {_SIGNS[topic]}"


def answer_rows(count: int = 100) -> list[dict[str, Any]]:
    """Rows of a file of answers: the poet knows verse, the solver sums, and the small and cheap one little."""
    rng = np.random.default_rng(0)
    rows = []
    for row in range(count):
        topic = list(_TOPICS)[row % 2]
        known = {"verse": (0.3, 0.9, 0.4), "sums": (0.3, 0.1, 0.9)}[topic]
        quality = np.clip(np.array(known) + rng.normal(size=3) * 0.05, 0, 1).round(3)
        rows.append(
            {
                "prompt_id": f"p{row:03}",
                "prompt": prompt(topic, row),
                "scores": dict(zip(MODELS, quality.tolist(), strict=True)),
                "costs": dict(zip(MODELS, COSTS, strict=True)),
            }
        )
    return rows


def battle_rows(count: int = 100) -> list[dict[str, Any]]:
    """The same as battles of every two models, named as arenas name them."""
    return [
        {
            "prompt": row["prompt"],
            "model_a": first,
            "model_b": second,
            "winner": "model_a" if row["scores"][first] > row["scores"][second] else "model_b",
        }
        for row in answer_rows(count)
        for first, second in (("small", "poet"), ("poet", "solver"), ("solver", "small"))
    ]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_routes(directory: Path, more: str = "") -> None:
    """Lay answers.jsonl and r.toml into a directory; `more` is added to the file."""
    write_rows(directory / "answers.jsonl", answer_rows())
    text = EXPERIMENT.format(model=tiny_model("bert")) + more
    (directory / "r.toml").write_text(text, encoding="utf-8")
