"""The whole job by command, and what each command prints."""

from __future__ import annotations

import csv
import json
from contextlib import chdir
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from command_line import call, refused
from safetensors.numpy import load_file
from scipy.sparse import load_npz
from small_job import Job

METRICS = {"accuracy", "macro_f1", "weighted_f1", "ece"}
SUMMARY = {"mean", "sd", "low", "high"}


def texts(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return [row["text"] for row in csv.DictReader(file)]


def test_extract_prints_how_far_every_encoder_has_come(finished: Job) -> None:
    report = finished.extracted
    assert {"rows", "durable_rows", "quarantined", "truncated", "complete", "encoders"} <= set(report)
    assert (report["rows"], report["durable_rows"], report["complete"]) == (130, 130, True)
    assert report["quarantined"] == []
    assert list(report["encoders"]) == ["bert", "last", "lexical"]
    for encoder in report["encoders"].values():
        assert {"directory", "dim", "layers", "rows", "durable_rows", "texts_per_second"} <= set(encoder)
        assert (finished.directory / encoder["directory"]).is_dir()
    assert (report["encoders"]["bert"]["layers"], report["encoders"]["bert"]["dim"]) == (2, 32)
    assert report["encoders"]["lexical"]["sparse"]
    # The last layer stands in the store already, as one of bert's two.
    encoded = {name: encoder["encoded_rows"] for name, encoder in report["encoders"].items()}
    assert encoded == {"bert": 130, "last": 0, "lexical": 130}


def test_status_agrees_with_extract(finished: Job) -> None:
    report = call(finished.directory, "status", "runs/tiny", "--json").json
    expected = finished.extracted
    assert report["encoders"].keys() == expected["encoders"].keys()
    for name, encoder in report["encoders"].items():
        assert encoder.items() <= expected["encoders"][name].items()
    assert {key: expected[key] for key in report if key != "encoders"} == {
        key: value for key, value in report.items() if key != "encoders"
    }


def test_an_output_directory_takes_the_place_of_the_run_directory(job: Path, finished: Job) -> None:
    report = call(job, "extract", "tiny.toml", "--json", "--output", "deep/elsewhere").json
    assert report["complete"]
    assert (job / "deep/elsewhere/embeddings.json").is_file()
    status = call(job, "status", "deep/elsewhere", "--json").json
    assert status["durable_rows"] == finished.extracted["durable_rows"]
    assert call(job, "verify", "deep/elsewhere", "--json").json["ok"]
    trained = call(job, "train", "deep/elsewhere", "--json").json["models"]
    assert [Path(model["directory"]).as_posix() for model in trained] == [
        f"deep/elsewhere/models/seed-{seed}" for seed in (0, 1)
    ]


def test_what_was_written_verifies(finished: Job) -> None:
    for place in ("runs/tiny", "embeddings"):
        found = call(finished.directory, "verify", place, "--json").json
        assert found == {"ok": True, "problems": []}


def test_a_second_extract_encodes_nothing(job: Path) -> None:
    again = call(job, "extract", "tiny.toml", "--json").json
    assert [one["encoded_rows"] for one in again["encoders"].values()] == [0, 0, 0]
    assert again["complete"]


def test_train_prints_a_model_for_each_seed(finished: Job) -> None:
    assert [model["seed"] for model in finished.trained["models"]] == [0, 1]
    for model in finished.trained["models"]:
        assert (finished.directory / model["directory"] / "head.safetensors").is_file()
        assert {"accuracy", "macro_f1", "weighted_f1"} <= set(model["validation"])
    assert finished.trained["seconds"] > 0


def test_a_second_train_reuses_the_heads(job: Path, finished: Job) -> None:
    again = call(job, "train", "tiny.toml", "--json").json
    assert again["reused"]
    assert again["models"] == finished.trained["models"]


def test_evaluate_prints_the_result_beside_its_controls(finished: Job) -> None:
    report = finished.evaluated
    assert (report["task"], report["split"], report["rows"]) == ("classify", "test", 40)
    assert set(report["result"]) == METRICS
    assert all(set(summary) == SUMMARY for summary in report["result"].values())
    assert list(report["controls"]) == [
        "linear path alone",
        "bert alone",
        "last alone",
        "lexical alone",
        "concat",
        "linear_svm",
        "logistic_regression",
    ]
    assert set(report["verdicts"]) == set(report["controls"])
    assert set(report["verdicts"].values()) <= {"better", "worse", "not separable"}


def test_a_second_evaluate_prints_what_the_first_one_found(job: Path, finished: Job) -> None:
    assert call(job, "evaluate", "tiny.toml", "--json").json == finished.evaluated
    assert call(job, "evaluate", "runs/tiny", "--json").json == finished.evaluated


def test_another_device_or_batch_is_the_same_experiment(job: Path, finished: Job) -> None:
    other = ("--device", "cpu", "--set", "encoders.bert.batch_tokens=64")
    assert call(job, "train", "tiny.toml", "--json", *other).json["reused"]
    assert call(job, "evaluate", "tiny.toml", "--json", *other).json == finished.evaluated


def test_evaluate_shows_a_leaderboard_with_intervals_and_verdicts(finished: Job) -> None:
    shown = call(finished.directory, "evaluate", "tiny.toml").out
    assert "test: 40 texts, ranked by validation accuracy" in shown
    assert "gated (residual)" in shown
    assert "linear_svm (C=" in shown
    assert "the result is " in shown


def test_the_run_keeps_experiment_environment_scores_and_leaderboards(finished: Job) -> None:
    run = finished.directory / "runs" / "tiny"
    for name in (
        "experiment.json",
        "environment.json",
        "embeddings.json",
        "metrics-test.json",
        "leaderboard-test.md",
        "leaderboard-test.csv",
        "models/history.jsonl",
        "models/seed-1/model.json",
    ):
        assert (run / name).is_file(), name
    scores = pq.read_table(run / "scores/test/result.parquet").to_pydict()
    right = [
        np.mean([said == label for said, label in zip(scores[seed], scores["label"], strict=True)])
        for seed in ("seed-0", "seed-1")
    ]
    assert np.mean(right) == pytest.approx(finished.evaluated["result"]["accuracy"]["mean"])


def test_the_curves_are_among_the_files_that_verify_checks(finished: Job) -> None:
    run = finished.directory / "runs" / "tiny"
    curves = [path.relative_to(run).as_posix() for path in run.rglob("events.out.tfevents.*")]
    recorded = (run / "checksums.jsonl").read_text()
    assert curves
    assert all(f'"name":"{name}"' in recorded for name in curves)


def test_a_run_can_be_renamed_and_evaluated_where_it_stands(job: Path, finished: Job) -> None:
    (job / "runs" / "tiny").rename(job / "runs" / "renamed")
    report = call(job, "evaluate", "runs/renamed", "--json").json
    assert report["result"] == finished.evaluated["result"]
    assert [path.name for path in (job / "runs").iterdir()] == ["renamed"]


def test_predict_prints_one_object_a_line_in_the_order_of_the_input(finished: Job, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("happy quick fox\nsad lonely rain\n", encoding="utf-8")
    found = call(finished.directory, "predict", "runs/tiny", tmp_path / "new.txt").lines
    assert [one["text"] for one in found] == ["happy quick fox", "sad lonely rain"]
    for one in found:
        assert set(one) == {"text", "label", "probability", "probabilities"}
        assert list(one["probabilities"]) == ["grief", "joy", "numbers"]
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert one["label"] == max(one["probabilities"], key=one["probabilities"].__getitem__)


def test_predict_reads_a_column_of_a_table_and_standard_input_alike(finished: Job, tmp_path: Path) -> None:
    rows = ['sad, "lonely" rain', "happy fox"]
    with (tmp_path / "new.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["n", "body"], *([n, row] for n, row in enumerate(rows))])
    (tmp_path / "new.jsonl").write_text(
        "".join(json.dumps({"body": row}) + "\n" for row in rows), encoding="utf-8"
    )
    piped = call(finished.directory, "predict", "runs/tiny", "-", stdin="\n".join(rows).encode()).out
    for name in ("new.csv", "new.jsonl"):
        found = call(finished.directory, "predict", "runs/tiny", tmp_path / name, "--text", "body").out
        assert found == piped


def test_predict_takes_one_seed_and_the_ensemble_is_their_mean(finished: Job) -> None:
    def probabilities(model: str) -> list[float]:
        (found,) = call(finished.directory, "predict", model, stdin=b"happy rain\n").lines
        return list(found["probabilities"].values())

    seeds = [probabilities(f"runs/tiny/models/seed-{seed}") for seed in (0, 1)]
    assert seeds[0] != seeds[1]
    np.testing.assert_allclose(probabilities("runs/tiny"), np.mean(seeds, axis=0), atol=1e-6)


def test_predict_counts_a_blank_line_over_the_whole_input(finished: Job) -> None:
    ended = call(
        finished.directory, "predict", "runs/tiny", "--batch-size", "1", stdin=b"joy\nfear\n\n", code=2
    )
    assert ended.err == "error: text 2 is blank (counted from 0); remove it\n"
    assert len(ended.lines) == 2


def test_the_predictions_on_the_test_file_are_those_that_were_scored(finished: Job) -> None:
    found = call(finished.directory, "predict", "runs/tiny", "test.csv").lines
    scores = pq.read_table(finished.directory / "runs/tiny/scores/test/result.parquet")
    agree = [one["label"] == said for one, said in zip(found, scores["ensemble"].to_pylist(), strict=True)]
    assert np.mean(agree) >= 0.95  # a batch of another composition rounds differently in bfloat16


def test_compare_pairs_two_runs(job: Path) -> None:
    call(job, "train", "tiny.toml", "--name", "other", "--fusion", "sum", "--seeds", "1")
    call(job, "evaluate", "tiny.toml", "--name", "other", "--fusion", "sum", "--seeds", "1", "--set",
         "evaluate.baselines=false")  # fmt: skip
    report = call(job, "compare", "runs/tiny", "runs/other", "--json", "--draws", "200").json
    assert report["rows"] == 40
    assert report["verdict"] in ("better", "worse", "not separable")
    assert set(report["first"]["accuracy"]) == SUMMARY
    shown = call(job, "compare", "runs/tiny", "runs/tiny", "--draws", "200").out
    assert "not separable" in shown
    assert "McNemar" in shown


def test_compare_refuses_runs_on_different_texts(job: Path) -> None:
    (job / "other.csv").write_text("text,label\nfox,joy\nrain,grief\n", encoding="utf-8")
    call(job, "evaluate", "runs/tiny", "--on", "other.csv")
    ended = call(job, "compare", "runs/tiny", "runs/tiny.on.other", code=2)
    assert "scored different rows of 'test'" in ended.err


def test_evaluate_on_another_file_scores_it_without_controls(job: Path) -> None:
    (job / "other.csv").write_text("text,label\nhappy fox,joy\nsad rain,grief\n", encoding="utf-8")
    report = call(job, "evaluate", "runs/tiny", "--on", "other.csv", "--json").json
    assert (report["rows"], report["controls"]) == (2, {})
    assert set(report["result"]) == METRICS
    (job / "bad.csv").write_text("text,label\nhappy fox,envy\n", encoding="utf-8")
    ended = call(job, "evaluate", "tiny.toml", "--on", "bad.csv", code=2)
    assert "bad.csv, row 0 (counted from 0), column 'label': label 'envy' does not occur" in ended.err


def test_a_single_layer_is_exported_as_a_matrix(finished: Job, tmp_path: Path) -> None:
    path = tmp_path / "last.npy"
    written = call(
        finished.directory, "export", "embeddings", "runs/tiny", "--encoder", "last", "--split", "train",
        "--output", path, "--json",
    ).json  # fmt: skip
    assert written == {"files": [str(path), str(tmp_path / "last.json")]}
    assert np.load(path).shape == (90, 32)
    about = json.loads((tmp_path / "last.json").read_text(encoding="utf-8"))
    assert (about["model_name"], about["rows"], about["layers"]) == ("model", 90, 1)


def test_several_layers_are_exported_with_an_axis_for_them(finished: Job, tmp_path: Path) -> None:
    for form in ("npy", "jsonl", "parquet", "pt", "safetensors"):
        call(
            finished.directory, "export", "embeddings", "runs/tiny", "--encoder", "bert", "--split", "test",
            "--format", form, "--output", tmp_path / f"e.{form}",
        )  # fmt: skip
    whole = np.load(tmp_path / "e.npy")
    assert whole.shape == (40, 2, 32)
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text(encoding="utf-8").splitlines()]
    np.testing.assert_array_equal(np.array([one["embedding"] for one in lines], dtype=np.float32), whole)
    assert [one["index"] for one in lines] == list(range(40))
    table = pq.read_table(tmp_path / "e.parquet")
    np.testing.assert_array_equal(np.array(table["embedding"].to_pylist(), dtype=np.float32), whole)
    np.testing.assert_array_equal(torch.load(tmp_path / "e.pt", weights_only=True).numpy(), whole)
    np.testing.assert_array_equal(load_file(tmp_path / "e.safetensors")["embeddings"], whole)


def test_an_export_that_leaves_a_choice_open_says_which_there_are(finished: Job, tmp_path: Path) -> None:
    message = refused(
        finished.directory, "export", "embeddings", "runs/tiny", "--output", tmp_path / "e.npy", code=2
    )
    assert "several encoders are stored: bert, last, lexical; name one with --encoder" in message


def test_the_metadata_of_an_export_says_speed_and_versions(finished: Job, tmp_path: Path) -> None:
    call(
        finished.directory, "export", "embeddings", "runs/tiny", "--encoder", "bert", "--split", "train",
        "--output", tmp_path / "e.npy",
    )  # fmt: skip
    about = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    assert about["texts_per_second"] == pytest.approx(90 / about["seconds"])
    assert "torch" in about["versions"]
    assert about["batch_tokens"] > 0


def test_sparse_embeddings_are_exported_as_a_matrix_of_scipy(finished: Job, tmp_path: Path) -> None:
    arguments = ("export", "embeddings", "runs/tiny", "--encoder", "lexical", "--split", "test", "--output")
    call(finished.directory, *arguments, tmp_path / "e.npz", "--format", "npz")
    found = load_npz(tmp_path / "e.npz")
    assert (found.format, found.shape) == ("csr", (40, 4096))
    ended = call(finished.directory, *arguments, tmp_path / "e.npy", code=2)
    assert "does not hold sparse embeddings; use npz" in ended.err


def test_the_whole_job_under_parquet_gives_the_metrics_of_npy(fresh: Path, finished: Job) -> None:
    for command in ("extract", "train"):
        call(fresh, command, "tiny.toml", "--storage", "parquet")
    report = call(fresh, "evaluate", "tiny.toml", "--storage", "parquet", "--json").json
    assert (fresh / "embeddings" / "parquet").is_dir()
    assert not (fresh / "embeddings" / "npy").exists()
    for part in ("result", "ensemble", "controls", "verdicts"):
        assert report[part] == finished.evaluated[part], part


def test_training_extracts_what_is_missing(fresh: Path, finished: Job) -> None:
    models = call(fresh, "train", "tiny.toml", "--json").json["models"]
    assert [one["validation"] for one in models] == [one["validation"] for one in finished.trained["models"]]


def test_a_partial_extract_is_never_complete_and_the_whole_one_follows(fresh: Path) -> None:
    report = call(
        fresh, "extract", "tiny.toml", "--split", "train", "--limit", "20", "--device", "cpu", "--json"
    ).json
    assert (report["rows"], report["durable_rows"], report["complete"]) == (20, 20, False)
    assert not call(fresh, "status", "runs/tiny", "--json").json["complete"]
    assert call(fresh, "extract", "tiny.toml", "--json").json["complete"]


def test_a_dry_run_prints_the_plan_and_writes_nothing(fresh: Path) -> None:
    before = sorted(fresh.rglob("*"))
    plan = call(fresh, "extract", "tiny.toml", "--dry-run", "--json").json["plan"]
    assert [(one["encoder"], one["split"], one["missing_texts"], one["shards"]) for one in plan] == [
        (encoder, split, rows, shards)
        for encoder in ("bert", "last", "lexical")
        for split, rows, shards in (("train", 90, 6), ("test", 40, 3))
    ]
    assert all(one["tokens"] > 0 and one["disk_bytes"] > 0 for one in plan)
    shown = call(fresh, "extract", "tiny.toml", "--dry-run").out
    assert "pooling: mean" in shown
    assert "tokens of a text, before anything is cut" in shown
    for one in plan:
        lengths = one["lengths"]
        rising = [lengths[name] for name in ("minimum", "median", "p90", "p95", "p99", "maximum")]
        assert rising == sorted(rising)
        assert lengths["minimum"] <= lengths["mean"] <= lengths["maximum"]
        assert 0 <= lengths["truncated"] <= 1
        assert one["batch_tokens"] > 0
    assert sorted(fresh.rglob("*")) == before


def test_a_dry_run_knows_what_is_there_already(finished: Job) -> None:
    plan = call(finished.directory, "extract", "tiny.toml", "--dry-run", "--json").json["plan"]
    assert {one["missing_texts"] for one in plan} == {0}


def test_flags_alone_are_an_experiment(fresh: Path) -> None:
    words = ("--train-file", "train.csv", "--test-file", "test.csv", "--encoder", "lexical", "--seeds", "1",
             "--set", "train.epochs=1", "--set", "evaluate.baselines=false")  # fmt: skip
    call(fresh, "train", *words)
    assert call(fresh, "evaluate", *words, "--json").json["rows"] == 40
    assert [path.name for path in (fresh / "runs").iterdir()] == ["train-lexical-concat"]


def test_embeddings_go_where_dotenv_says(fresh: Path) -> None:
    (fresh / ".env").write_text("EMBEDDING_DIR=elsewhere\n", encoding="utf-8")
    found = call(fresh, "--verbose", "extract", "tiny.toml", "--encoder", "lexical", "--json")
    assert found.json["encoders"]["lexical"]["directory"] == "elsewhere/npy"
    assert "EMBEDDING_DIR = elsewhere, from .env" in found.err
    assert not (fresh / "embeddings").exists()


def test_texts_shared_between_splits_are_reported_and_can_be_dropped(fresh: Path) -> None:
    shared = texts(fresh / "test.csv")[:3]
    with (fresh / "train.csv").open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([(text, "joy") for text in shared])
    words = ("extract", "tiny.toml", "--encoder", "lexical", "--json")
    found = call(fresh, *words)
    assert found.json["shared_texts"] == [{"splits": ["train", "test"], "texts": 3}]
    assert "3 distinct texts stand in train and in test" in found.err
    dropping = call(fresh, *words, "--set", "dataset.drop_duplicates=true", "--overwrite")
    assert dropping.err == ""


@pytest.mark.parametrize("command", ["encoders", "schema", "doctor"])
def test_every_list_is_one_json_object_or_a_table(command: str, tmp_path: Path) -> None:
    assert isinstance(call(tmp_path, command, "--json").json, dict)
    shown = call(tmp_path, command).out
    assert len(shown.splitlines()) > 5
    assert not any(line.startswith("{") for line in shown.splitlines())


def test_a_run_and_its_store_can_be_moved_together(job: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    job.rename(moved)
    with chdir(moved):
        assert call(tmp_path, "status", moved / "runs/tiny", "--json").json["complete"]
        assert call(tmp_path, "verify", moved / "runs/tiny", "--json").json["ok"]
