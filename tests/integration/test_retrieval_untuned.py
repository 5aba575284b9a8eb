"""`fusionapp evaluate` over datasets without train: BEIR directories and files, judged without training."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import call, refused
from small_search import pair_rows, write_pairs, write_search
from tiny_models import save_tiny, tiny_model

EXPERIMENT = """
name = "b"

[task]
kind = "retrieve"

[dataset]
source = "beir"
name = "toy"

[encoders.tiny]
model = "{model}"
pooling = "mean"
device = "cpu"
dtype = "float32"

[encoders.other]
model = "{other}"
pooling = "mean"
device = "cpu"
dtype = "float32"

[storage]
shard_rows = 16

[evaluate]
draws = 200
depth = 20
"""
FIXED = ["untuned", "hybrid", "bm25", "tfidf", "other"]


def write_beir(directory: Path, splits: Sequence[str]) -> None:
    """Lay toy/ and b.toml into a directory: twelve queries a split, each with one document of forty."""
    toy = directory / "toy"
    (toy / "qrels").mkdir(parents=True)
    rows = pair_rows(40)
    write_lines(
        toy / "corpus.jsonl", [{"_id": f"d{row}", "text": one["document"]} for row, one in enumerate(rows)]
    )
    write_lines(
        toy / "queries.jsonl", [{"_id": f"q{row}", "text": one["query"]} for row, one in enumerate(rows)]
    )
    for number, split in enumerate(splits):
        judged = range(12 * number, 12 * (number + 1))
        lines = ["query-id\tcorpus-id\tscore", *(f"q{row}\td{row}\t1" for row in judged)]
        (toy / f"qrels/{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = EXPERIMENT.format(model=tiny_model("bert"), other=tiny_model("xlm_roberta"))
    (directory / "b.toml").write_text(text, encoding="utf-8")


def write_lines(path: Path, values: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


@pytest.fixture
def tested(tmp_path: Path) -> Path:
    write_beir(tmp_path, ["test"])
    return tmp_path


@pytest.fixture
def validated(tmp_path: Path) -> Path:
    write_beir(tmp_path, ["dev", "test"])
    return tmp_path


def test_test_alone_is_judged_and_nothing_is_chosen_on_it(tested: Path) -> None:
    report = call(tested, "evaluate", "b.toml", "--json").json
    assert (report["queries"], report["documents"], report["contender"]) == (12, 40, "untuned")
    assert [row["name"] for row in report["leaderboard"]] == FIXED
    assert {row["validation"] for row in report["leaderboard"]} == {None}
    assert [row["note"] for row in report["leaderboard"] if row["note"]] == [
        "reciprocal ranks of dense and bm25, not chosen"
    ]
    assert set(report["verdicts"]) == set(FIXED) - {"untuned"}
    assert report["verdicts"]["bm25"] == "worse"  # an encoder of random weights
    assert not (tested / "runs/b/models").exists()
    markdown = (tested / "runs/b/leaderboard-test.md").read_text(encoding="utf-8")
    assert "nothing was chosen" in markdown
    lines = (tested / "runs/b/leaderboard-test.csv").read_text(encoding="utf-8").splitlines()
    assert [row["validation"] for row in csv.DictReader(lines)] == [""] * len(FIXED)
    printed = call(tested, "evaluate", "b.toml").out
    assert "untuned is worse than bm25" in printed
    assert "nothing was chosen" in printed


def test_a_second_evaluate_scores_nothing_again_unless_asked_to(tested: Path) -> None:
    scores = tested / "runs/b/scores/test/untuned.parquet"
    first = call(tested, "evaluate", "b.toml", "--json").json
    scores.unlink()
    assert call(tested, "evaluate", "b.toml", "--json").json == first
    assert not scores.exists()
    again = call(tested, "evaluate", "b.toml", "--overwrite", "--json").json
    assert again["result"] == first["result"]
    assert scores.exists()


def test_other_settings_other_data_and_another_encoder_are_refused(tested: Path) -> None:
    model = tested / "model"
    save_tiny("bert", model)
    sets = ("--set", f"encoders.tiny.model={model}")
    call(tested, "evaluate", "b.toml", *sets)
    assert "encoders.tiny.model" in refused(tested, "evaluate", "b.toml", code=2)
    dot = ("--set", "train.similarity=dot")
    assert "settings.train.similarity" in refused(tested, "evaluate", "b.toml", *sets, *dot, code=2)
    call(tested, "evaluate", "b.toml", *sets, "--set", "train.epochs=9", "--set", "evaluate.draws=100")
    save_tiny("bert", model, layers=1)
    assert "encoders.tiny.identity" in refused(tested, "evaluate", "b.toml", *sets, code=2)
    call(tested, "evaluate", "b.toml", *sets, "--overwrite")
    qrels = tested / "toy/qrels/test.tsv"
    qrels.write_text(qrels.read_text(encoding="utf-8") + "q0\td30\t1\n", encoding="utf-8")
    said = refused(tested, "evaluate", "b.toml", *sets, code=2)
    assert "data.test" in said
    assert "--overwrite" in said
    call(tested, "evaluate", "b.toml", *sets, "--overwrite")
    call(tested, "evaluate", "b.toml", *sets)


def test_dev_chooses_and_ranks_as_for_a_tuned_encoder(validated: Path) -> None:
    report = call(validated, "evaluate", "b.toml", "--set", "evaluate.vectors=true", "--json").json
    found = [row["validation"] for row in report["leaderboard"]]
    assert found == sorted(found, reverse=True)
    assert {row["name"] for row in report["leaderboard"]} == set(FIXED)
    (note,) = (row["note"] for row in report["leaderboard"] if row["note"])
    assert "not chosen" not in note
    assert report["vectors"]
    printed = call(validated, "evaluate", "b.toml", "--set", "evaluate.vectors=true").out
    assert "in the order of validation" in printed
    assert "coarser vectors of the untuned encoder" in " ".join(printed.split())  # its title is folded


def test_train_refuses_and_names_the_way_out(validated: Path) -> None:
    said = call(validated, "train", "b.toml", code=2).err
    assert "the dataset has no train split (it has validation, test)" in said
    assert "`fusionapp evaluate`" in said


def test_without_controls_the_encoder_stands_alone(tested: Path) -> None:
    report = call(tested, "evaluate", "b.toml", "--set", "evaluate.baselines=false", "--json").json
    assert [row["name"] for row in report["leaderboard"]] == ["untuned"]
    assert (report["hybrid"], report["verdicts"]) == (None, {})


def test_files_with_test_alone_are_judged_by_the_encoder_of_another_run(tmp_path: Path) -> None:
    write_search(tmp_path)
    one_epoch = ("--set", "train.seeds=1", "--set", "train.epochs=1")
    call(tmp_path, "train", "s.toml", *one_epoch)
    write_pairs(tmp_path / "judged.jsonl", pair_rows(20))
    text = (tmp_path / "s.toml").read_text(encoding="utf-8")
    text = text.replace('name = "s"', 'name = "o"').replace('train = "pairs.jsonl"', 'test = "judged.jsonl"')
    text = text.replace(str(tiny_model("bert")), "runs/s/models/seed-0/model")
    (tmp_path / "o.toml").write_text(text, encoding="utf-8")
    report = call(tmp_path, "evaluate", "o.toml", "--json").json
    assert (report["queries"], report["contender"]) == (20, "untuned")
    call(tmp_path, "index", "runs/o")


def test_a_dataset_with_train_is_to_be_trained_first(tmp_path: Path) -> None:
    write_search(tmp_path)
    said = refused(tmp_path, "evaluate", "s.toml", code=2)
    assert "runs/s is not trained; run `fusionapp train` first" in said
