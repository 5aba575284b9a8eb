"""The routing examples, the very files, run whole on a tiny model and tiny answers of their columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import call
from fakes.routers import MODELS
from router_tuning import QUALITY, prompts
from small_routes import write_rows
from tiny_models import save_tiny

from fusionapp.domain.finetuning import Method
from fusionapp.entrypoints.routing.reports import UNTUNED

pytest.importorskip("peft", reason="the extra `tune` is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"
METHODS: dict[str, Method] = {
    "llm-router": "lora",
    "llm-router-qlora": "qlora",
    "llm-router-last-layers": "last_layers",
    "llm-router-bitfit": "bitfit",
    "llm-router-full": "full",
}
QUICK = (
    "encoders.minilm.device=cpu",
    "encoders.minilm.max_length=64",
    "train.device=cpu",
    "train.epochs=2",
    "train.embedding_model_epochs=1",
    "train.hidden_dims=[16]",
    "train.embedding_dims=[8]",
    "train.min_model_comparisons=10",
    "train.tuning.epochs=2",
    "train.tuning.batch_size=16",
    "evaluate.draws=100",
)


def write_answers(folder: Path) -> None:
    """scores.jsonl and prices.json as the examples name them."""
    folder.mkdir(parents=True)
    texts, topics = prompts(120, 0)
    rows = [
        {
            "prompt_id": f"p{row:03}",
            "prompt": f"{text} {row}",
            "scores": dict(zip(MODELS, QUALITY[topic], strict=True)),
        }
        for row, (text, topic) in enumerate(zip(texts, topics, strict=True))
    ]
    write_rows(folder / "scores.jsonl", rows)
    price = {"input_price_usd_per_mtok": 0.5, "output_price_usd_per_mtok": 1.5}
    (folder / "prices.json").write_text(json.dumps(dict.fromkeys(MODELS, price)), encoding="utf-8")


@pytest.mark.parametrize("name", METHODS)
def test_a_routing_example_runs_from_answers_to_a_route(name: str, tmp_path: Path) -> None:
    if METHODS[name] == "qlora":
        pytest.importorskip("bitsandbytes", reason="the extra `tune` is not installed")
    write_answers(tmp_path / "data/llm-router")
    model = save_tiny("bert", tmp_path / "models/minilm", layers=2)
    settings = (*QUICK, f"encoders.minilm.model={model}")
    words: Sequence[Any] = (
        EXAMPLES / f"{name}.toml",
        *(word for one in settings for word in ("--set", one)),
        "--json",
    )

    trained = call(tmp_path, "train", *words).json
    assert trained["tuning"]["preflight"]["method"] == METHODS[name]
    assert trained["tuning"]["steps"] == 10
    assert [model["seed"] for model in trained["models"]] == [42]
    report = call(tmp_path, "evaluate", *words).json
    assert (UNTUNED in report["controls"]) == trained["tuning"]["kept"]
    assert 0 <= report["result"]["quality"]["mean"] <= 1
    (found,) = call(tmp_path, "route", f"runs/{name}", stdin=b"the lazy dog and a fox\n").lines
    assert found["model"] in MODELS
    assert found["cost"][found["model"]] > 0
