"""Retrieval experiments before anything was done for them: bad settings, mining rounds, mining untrained."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import call, refused
from small_search import write_search


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    write_search(tmp_path)
    return tmp_path


def test_everything_wrong_with_an_experiment_is_said_at_once(fresh: Path) -> None:
    sets = (
        "train.temprature=0.1",
        "train.epochs=0",
        "train.mining.rounds=1",
        "train.hard_negatives=0",
        "train.finetuning.rank=many",
        "evaluate.metrics=['hits@3']",
        "index.kind=annoy",
        "dataset.shots=3",
        "encoders.words.adapter=lexical",
    )
    said = call(fresh, "train", "s.toml", *(word for one in sets for word in ("--set", one)), code=2).err
    for key in (
        "train.temprature: unknown key; did you mean 'temperature'?",
        "train.epochs: ",
        "train.hard_negatives: ",
        "train.finetuning.rank: expected a whole number, got 'many'",
        "evaluate.metrics: ",
        "index.kind: expected one of",
        "dataset.shots: unknown key",
        "encoders.words: words are ranked by",
    ):
        assert key in said
    assert not (fresh / "runs").exists()


def test_mined_negatives_are_no_documents_of_the_query(fresh: Path) -> None:
    words = ("--set", "train.mining.rounds=1", "--set", "train.seeds=1")
    (model,) = call(fresh, "train", "s.toml", *words, "--json").json["models"]
    first, second = model["rounds"]
    assert first["mined"] is None
    assert second["mined"]["pairs"] == 33
    assert second["mined"]["found"] > 0
    assert second["validation"]["mrr@10"] >= first["validation"]["mrr@10"]
    assert (fresh / "runs/s/models/seed-0/rounds/0/model/model.safetensors").is_file()
    again = call(fresh, "train", "s.toml", *words, "--json").json
    assert again["reused"]
    assert again["models"][0]["rounds"] == model["rounds"]
    assert call(fresh, "verify", "runs/s", "--json").json["ok"]


def test_mine_works_before_training_and_names_what_it_cannot_do(fresh: Path) -> None:
    call(fresh, "extract", "s.toml")
    assert call(fresh, "mine", "runs/s", "--output", "m.jsonl", "--json").json["found"] > 0
    assert ".jsonl" in refused(fresh, "mine", "runs/s", "--output", "m.csv", code=2)
    assert "dev" in refused(fresh, "mine", "runs/s", "--output", "m.jsonl", "--split", "dev", code=2)
