"""`fusionapp extract|train|evaluate|index|search` over pairs: what they print, keep, reuse and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import call, flip, refused
from small_search import SearchJob, pair_rows, write_pairs

METRICS = {"mrr@10", "ndcg@10", "recall@1", "recall@10", "recall@100", "precision@10", "map"}
CONTROLS = {"hybrid", "untuned", "untuned hybrid", "bm25", "tfidf"}
MODEL = "runs/s/models/seed-0/model/model.safetensors"


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def test_extract_counts_queries_and_documents_of_every_split(searched: SearchJob) -> None:
    report = searched.printed["extract"]
    assert (report["rows"], report["durable_rows"], report["complete"]) == (120, 120, True)
    tiny = report["encoders"]["tiny"]
    parts = {
        f"{split}.{part}" for split in ("train", "validation", "test") for part in ("queries", "documents")
    }
    assert set(tiny["directories"]) == parts
    assert (tiny["dim"], tiny["layers"], tiny["sparse"]) == (32, 1, False)


def test_a_plan_names_every_part_and_writes_nothing(fresh_search: Path) -> None:
    planned = call(fresh_search, "extract", "s.toml", "--dry-run", "--json").json["plan"]
    assert [(one["split"], one["texts"]) for one in planned if one["split"].startswith("test")] == [
        ("test.queries", 15),
        ("test.documents", 15),
    ]
    assert not (fresh_search / "runs").exists()
    assert not (fresh_search / "embeddings").exists()


def test_train_prints_each_seeds_model_with_its_validation(searched: SearchJob) -> None:
    report = searched.printed["train"]
    assert not report["reused"]
    assert [model["seed"] for model in report["models"]] == [0, 1]
    for model in report["models"]:
        assert {"mrr@10", "loss"} == set(model["validation"]) == set(model["untuned"])
        assert model["validation"]["mrr@10"] >= model["untuned"]["mrr@10"]
        assert (searched.directory / model["directory"] / "model.safetensors").is_file()
        assert model["preflight"]["trainable"] > 0
        (only,) = model["rounds"]
        assert only["mined"] is None


def test_the_table_of_a_training_with_mining_begins_with_the_untuned_encoder(fresh_search: Path) -> None:
    settings = ("train.mining.rounds=1", "train.learning_rate=3e-3", "train.seeds=1")
    words = ("train", "s.toml", *(word for one in settings for word in ("--set", one)))
    (model,) = call(fresh_search, *words, "--json").json["models"]
    assert model["rounds"][0]["validation"] != model["untuned"]
    (row,) = (line for line in call(fresh_search, *words).out.splitlines() if model["directory"] in line)
    scores = [f"{model[which]['mrr@10']:.4f}" for which in ("untuned", "validation")]
    assert row.split()[4:6] == scores


def test_evaluate_prints_the_result_beside_its_controls(searched: SearchJob) -> None:
    report = searched.printed["evaluate"]
    assert (report["task"], report["split"]) == ("retrieve", "test")
    assert (report["queries"], report["documents"]) == (15, 15)
    assert set(report["result"]) == METRICS
    assert set(report["controls"]) == set(report["verdicts"]) == set(report["differences"]) == CONTROLS
    assert set(report["verdicts"].values()) <= {"better", "worse", "not separable"}
    assert set(report["hybrid_verdicts"]) == {"tuned", *CONTROLS} - {"hybrid"}
    for metrics in (report["result"], *report["controls"].values()):
        for name, summary in metrics.items():
            assert set(summary) == {"mean", "sd", "low", "high"}
            assert 0 <= summary["low"] <= summary["mean"] + 1e-9 <= summary["high"] + 2e-9, name
    assert [row["validation"] for row in report["leaderboard"]] == sorted(
        (row["validation"] for row in report["leaderboard"]), reverse=True
    )
    assert report["vectors"] == []


def test_scores_of_every_query_recompute_the_printed_mean(searched: SearchJob) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(searched.directory / "runs/s/scores/test/tuned.parquet").to_pydict()
    assert len(set(table["query_id"])) == 15
    mean = np.mean([table["mrr@10_0"], table["mrr@10_1"]])
    assert mean == pytest.approx(searched.printed["evaluate"]["result"]["mrr@10"]["mean"])


def test_each_tuned_encoders_card_has_its_data_and_its_numbers_beside_the_controls(
    searched: SearchJob,
) -> None:
    report = searched.printed["evaluate"]
    for seed in (0, 1):
        card = (searched.directory / f"runs/s/models/seed-{seed}/model/README.md").read_text(encoding="utf-8")
        score = report["result"]["mrr@10"]
        assert f"| mrr@10 | {score['mean']:.4f} [{score['low']:.4f}, {score['high']:.4f}] |" in card
        assert f"| {report['verdicts']['bm25']} |" in card
        assert "| test | 15 | 15 | 15 |" in card
        assert "| train.epochs" not in card
        assert "| epochs | `3` |" in card
        assert "base_model" not in card
        assert str(searched.directory.parent) not in card


def test_a_tuned_encoder_opens_in_sentence_transformers_with_the_vectors_of_the_run(
    searched: SearchJob, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(searched.directory / MODEL.rpartition("/")[0]), device="cpu")
    words = ("--encoder", "tuned-0", "--split", "test.documents", "--output", tmp_path / "v.npy")
    call(searched.directory, "export", "embeddings", "runs/s", *words)
    texts = [row["document"] for row in pair_rows() if row["date"] >= "2024-02-18"]
    np.testing.assert_allclose(model.encode(texts), np.load(tmp_path / "v.npy"), atol=1e-5)


def test_shorter_and_coarser_vectors_are_tabulated_where_asked_for(search_job: Path) -> None:
    words = ("evaluate", "s.toml", "--set", "evaluate.vectors=true")
    rows = call(search_job, *words, "--json").json["vectors"]
    assert [(row["dim"], row["kept as"], row["bytes"]) for row in rows] == [
        (32, "float32", 128),
        (32, "int8", 32),
        (32, "binary", 4),
        (32, "binary rescored", 4),
    ]
    assert call(search_job, *words, "--json").json["vectors"] == rows
    whole = call(search_job, *words, "--json").json["result"]
    assert rows[0]["mrr@10"] == pytest.approx(whole["mrr@10"]["mean"])
    assert rows[0]["recall@10"] == pytest.approx(whole["recall@10"]["mean"])
    assert "binary rescored" in call(search_job, *words).out


def test_people_get_tables_and_sentences(search_job: Path) -> None:
    assert "tuned before, reused" in call(search_job, "train", "s.toml").out
    shown = call(search_job, "evaluate", "runs/s").out
    assert "15 queries, 15 documents" in shown
    assert "tuned is" in shown
    assert "red" in call(search_job, "search", "runs/s", "red fox").out


def test_a_second_train_is_reused_and_a_run_directory_names_it(search_job: Path) -> None:
    before = written(search_job / MODEL)
    assert call(search_job, "train", "s.toml", "--json").json["reused"]
    again = call(search_job, "train", "runs/s", "--json").json
    assert again["reused"]
    assert [model["directory"] for model in again["models"]] == [
        f"runs/s/models/seed-{seed}/model" for seed in (0, 1)
    ]
    assert written(search_job / MODEL) == before


def test_a_changed_recipe_under_the_same_name_is_refused_unless_overwritten(search_job: Path) -> None:
    before = written(search_job / MODEL)
    words = ("train", "s.toml", "--set", "train.epochs=1", "--set", "train.seeds=1")
    said = refused(search_job, *words, code=2)
    assert "train.epochs, train.seeds" in said
    assert written(search_job / MODEL) == before
    anew = call(search_job, *words, "--overwrite", "--json").json
    assert not anew["reused"]
    assert [model["seed"] for model in anew["models"]] == [0]
    assert not (search_job / "runs/s/models/seed-1/model/model.safetensors").exists()
    assert call(search_job, "verify", "runs/s", "--json").json["ok"]


def test_changed_data_under_the_same_name_are_refused_unless_overwritten(search_job: Path) -> None:
    write_pairs(search_job / "pairs.jsonl", pair_rows(57))
    assert "data" in refused(search_job, "train", "s.toml", code=2)
    assert "other data" in refused(search_job, "evaluate", "s.toml", code=2)
    assert not call(search_job, "train", "s.toml", "--overwrite", "--json").json["reused"]
    assert call(search_job, "evaluate", "s.toml", "--json").json["queries"] == 14


def test_evaluate_before_train_is_refused(fresh_search: Path) -> None:
    assert "fusionapp train" in refused(fresh_search, "evaluate", "s.toml", code=2)


def test_a_second_evaluate_does_not_score_again(search_job: Path, searched: SearchJob) -> None:
    scores = search_job / "runs/s/scores/test/tuned.parquet"
    before = written(scores)
    assert call(search_job, "evaluate", "s.toml", "--json").json == searched.printed["evaluate"]
    assert written(scores) == before
    anew = call(search_job, "evaluate", "s.toml", "--overwrite", "--json").json
    assert anew["result"] == searched.printed["evaluate"]["result"]
    assert written(scores) > before


def test_an_unknown_split_is_named(search_job: Path) -> None:
    assert "'dev'" in refused(search_job, "evaluate", "s.toml", "--split", "dev", code=2)
    assert "'dev.documents'" in refused(search_job, "index", "runs/s", "--split", "dev", code=2)


def test_a_flipped_bit_in_a_saved_model_is_found(search_job: Path) -> None:
    flip(search_job / MODEL)
    for words in (("train", "s.toml"), ("evaluate", "s.toml"), ("evaluate", "s.toml", "--overwrite")):
        assert MODEL in refused(search_job, *words, code=3), words
    flip(search_job / MODEL.replace("seed-0", "seed-1"))
    assert "model.safetensors" in refused(search_job, "index", "runs/s", code=3)
    problems = call(search_job, "verify", "runs/s", "--json", code=3).json["problems"]
    assert problems[0]["file"] == MODEL.removeprefix("runs/s/")
    assert not call(search_job, "train", "s.toml", "--overwrite", "--json").json["reused"]
    assert call(search_job, "verify", "runs/s", "--json").json["ok"]


def test_status_verify_and_export_work_on_a_run_after_its_evaluation(
    searched: SearchJob, tmp_path: Path
) -> None:
    directory = searched.directory
    status = call(directory, "status", "runs/s", "--json").json
    assert (status["rows"], status["durable_rows"], status["complete"]) == (120, 120, True)
    assert set(status["encoders"]) == {"tiny", "tuned-0", "tuned-1"}
    assert call(directory, "verify", "runs/s", "--json").json == {"ok": True, "problems": []}
    for encoder, split, rows in (("tiny", "train.queries", 33), ("tuned-1", "test.documents", 15)):
        place = tmp_path / f"{encoder}.npy"
        words = ("--encoder", encoder, "--split", split, "--output", place)
        call(directory, "export", "embeddings", "runs/s", *words)
        assert np.load(place).shape == (rows, 32)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "runs/s"),
        ("predict", "runs/s/models/seed-0"),
        ("explain", "runs/s"),
        ("explain", "s.toml"),
        ("compare", "runs/s", "runs/s"),
        ("sweep", "s.toml"),
        ("export", "model", "runs/s", "--output", "m.onnx"),
        ("export", "encoder", "runs/s", "--output", "m"),
        ("train", "s.toml", "--search", "2"),
        ("evaluate", "s.toml", "--on", "pairs.jsonl"),
        ("extract", "s.toml", "--limit", "2"),
    ],
    ids=" ".join,
)
def test_what_is_for_classification_refuses_a_retrieval_run(
    searched: SearchJob, words: tuple[str, ...]
) -> None:
    said = call(searched.directory, *words, code=2).err
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert any(word in line for word in ('kind "retrieve"', "kind 'retrieve'", "--search", "--on", "--limit"))
    assert "unknown key" not in said


def test_mine_writes_pairs_that_another_experiment_reads(search_job: Path) -> None:
    report = call(search_job, "mine", "runs/s", "--output", "mined.jsonl", "--json").json
    assert (report["file"], report["pairs"]) == ("mined.jsonl", 33)
    rows = [
        json.loads(line) for line in (search_job / "mined.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert report["found"] == sum(len(row["negatives"]) for row in rows) > 0
    known = {row["document"]: row for row in pair_rows()}
    for row in rows:
        assert known[row["document"]]["query"] == row["query"]
        assert known[row["document"]]["date"] == row["date"]
        assert not {known[text]["query"] for text in row["negatives"]} & {row["query"]}
        assert row["document"] not in row["negatives"]

    columns = {
        "dataset.train": "mined.jsonl",
        "dataset.id": '["id"]',
        "dataset.query_id": '["query_id"]',
        "dataset.grade": "grade",
        "dataset.negatives": "negatives",
        "dataset.test_fraction": "0",
        "train.hard_negatives": "2",
        "train.seeds": "1",
        "name": "again",
    }
    words = [word for key, value in columns.items() for word in ("--set", f"{key}={value}")]
    assert len(call(search_job, "train", "s.toml", *words, "--json").json["models"]) == 1
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(search_job / "runs/again/pairs/train.parquet").to_pydict()
    assert max(max(row) for row in table["negatives"]) >= 0
