"""The comparison with sentence-transformers' trainer, tiny."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import contrastive_training
import pytest
from tiny_models import tiny_model
from tuning_pairs import toy_pairs


@pytest.mark.slow
def test_every_way_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = toy_pairs(24)
    rows = zip(pairs.queries, pairs.documents, strict=True)
    lines = [json.dumps({"title": query, "abstract": document}) for query, document in rows]
    data, output = tmp_path / "pairs.jsonl", tmp_path / "result.json"
    data.write_text("\n".join(lines), encoding="utf-8")
    options = ["--pairs", "16", "--held-out", "8", "--batch", "8", "--mini-batch", "4", "--threads", "1"]
    options += ["--rounds", "1", "--losses", "cached", "--dtypes", "float32"]
    places = [str(data), "--model", str(tiny_model("bert")), "--output", str(output)]
    monkeypatch.setattr(sys, "argv", ["contrastive_training.py", *places, *options])
    contrastive_training.main()
    results = json.loads(output.read_text(encoding="utf-8"))["results"]
    assert [result["way"] for result in results] == list(contrastive_training.WAYS)
    assert results[0]["speed_ratio"] == results[0]["memory_ratio"] == 1.0
    assert all(result["pairs_per_second"] > 0 for result in results)
