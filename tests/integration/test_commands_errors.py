"""Each way to fail has its exit code and one readable line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import call, flip, refused
from small_job import Job

from fusionapp.adapters.filesystem.run_directory import RunDirectory


def shard_of(job: Path, encoder: str) -> Path:
    sets = (job / "embeddings/npy").glob(f"{encoder}-*")
    files = sorted(path for one in sets for path in one.rglob("*") if path.suffix in (".npy", ".npz", ".bin"))
    return files[len(files) // 2]


def test_evaluating_what_is_not_trained_is_refused_before_anything_is_extracted(fresh: Path) -> None:
    message = refused(fresh, "evaluate", "tiny.toml", code=2)
    assert "runs/tiny is not trained; run `fusionapp train` first" in message
    assert not (fresh / "embeddings").exists()
    assert not (fresh / "runs").exists()


def test_a_changed_experiment_under_an_old_name_is_refused_with_its_keys(job: Path) -> None:
    message = refused(job, "train", "tiny.toml", "--set", "train.seeds=3", "--fusion", "sum", code=2)
    assert "changed: fusion.kind, train.seeds" in message
    assert "--overwrite" in message
    message = refused(job, "extract", "tiny.toml", "--set", "encoders.bert.layers=[-1]", code=2)
    assert "changed: encoders.bert.layers" in message


def test_a_misspelt_model_can_be_mended_under_the_same_name(fresh: Path) -> None:
    words = ("extract", "tiny.toml", "--encoder", "last")
    assert "nomodel" in refused(fresh, *words, "--set", "encoders.last.model=./nomodel", code=2)
    call(fresh, *words)


def test_overwrite_replaces_what_stood_under_the_name(job: Path) -> None:
    words = ("tiny.toml", "--seeds", "1", "--fusion", "sum")
    trained = call(job, "train", *words, "--overwrite", "--json").json
    assert [model["seed"] for model in trained["models"]] == [0]
    report = call(job, "evaluate", *words, "--set", "evaluate.baselines=false", "--json").json
    assert report["result"]["accuracy"]["sd"] == 0.0
    assert call(job, "verify", "runs/tiny", "--json").json["ok"]


def test_data_that_changed_since_training_are_refused(job: Path) -> None:
    with (job / "train.csv").open("a", encoding="utf-8") as file:
        file.write("one more happy day,joy\n")
    assert "the data or an encoder changed since training" in refused(job, "train", "tiny.toml", code=2)
    assert "trained on other data" in refused(job, "evaluate", "tiny.toml", code=2)


def test_every_problem_of_an_experiment_is_reported_at_once(fresh: Path) -> None:
    ended = call(fresh, "train", "tiny.toml", "--set", "train.sedes=1", "--set", "train.dropout=x", code=2)
    assert ended.err.splitlines() == [
        "error: train.dropout: expected a number, got 'x'",
        "train.sedes: unknown key; did you mean 'seeds'?",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"text,label\nfox,joy\nrain,grief\n,joy\n",
            "row 2 (counted from 0), column 'text': the text is blank",
        ),
        (
            b"text,label\nfox,joy\nrain,\n",
            "row 1 (counted from 0), line 3, column 'label': the label is missing",
        ),
        (b"text,label\nfox,joy\nrain,joy\n", "train has one class alone (joy)"),
        (b"words,label\nfox,joy\n", "column 'text': no such column; the columns there are: 'words', 'label'"),
        (b"text,label\n\xff,joy\n", "line 2"),
    ],
)
def test_data_that_cannot_be_trained_on_are_named_with_file_row_and_column(
    fresh: Path, content: bytes, message: str
) -> None:
    (fresh / "train.csv").write_bytes(content)
    words = ("train", "tiny.toml", "--encoder", "lexical")
    said = refused(fresh, *words, code=2)
    assert message in said
    assert "train.csv" in said or "one class" in said


def test_a_label_that_train_lacks_is_named_with_its_place(job: Path) -> None:
    with (job / "test.csv").open("a", encoding="utf-8") as file:
        file.write("so many,envy\n")
    said = refused(job, "evaluate", "tiny.toml", code=2)
    assert "test.csv, row 40 (counted from 0), column 'label': label 'envy' does not occur in train" in said


def test_a_blank_text_is_quarantined_by_extract_and_an_error_where_it_is_asked_to_be(fresh: Path) -> None:
    with (fresh / "train.csv").open("a", encoding="utf-8") as file:
        file.write('"  ",joy\n')
    words = ("extract", "tiny.toml", "--encoder", "lexical")
    report = call(fresh, *words, "--json", code=5).json
    assert report["quarantined"] == [
        {"encoder": "lexical", "split": "train", "row": 90, "reason": "blank text"}
    ]
    assert (report["rows"], report["durable_rows"], report["complete"]) == (131, 130, True)
    assert "quarantined: lexical train row 90: blank text" in call(fresh, *words, code=5).out
    assert "row 90" in refused(fresh, *words, "--on-empty", "error", code=2)


def test_another_writer_of_the_run_is_waited_for_by_people(job: Path) -> None:
    with RunDirectory(job / "runs/tiny").lock():
        message = refused(job, "train", "tiny.toml", code=4)
    assert "another process is writing here" in message


@pytest.mark.parametrize(
    "name",
    [
        "models/seed-0/head.safetensors",
        "models/seed-1/head.json",
        "models/trained.json",
        "scores/test/result.parquet",
        "controls/concat/seed-0/head.safetensors",
        "embeddings.json",
        "experiment.json",
        "metrics-test.json",
        "leaderboard-test.csv",
    ],
)
def test_a_flipped_bit_in_a_run_is_found_and_named(job: Path, name: str) -> None:
    flip(job / "runs/tiny" / name, place=40)
    found = call(job, "verify", "runs/tiny", "--json", code=3).json
    assert not found["ok"]
    assert name in [problem["file"] for problem in found["problems"]]


@pytest.mark.parametrize("encoder", ["huggingface", "lexical"])
def test_a_flipped_bit_in_a_shard_is_found_from_the_run_and_from_the_root(job: Path, encoder: str) -> None:
    shard = shard_of(job, encoder)
    flip(shard)
    for place in ("runs/tiny", "embeddings"):
        found = call(job, "verify", place, "--json", code=3).json
        assert [problem["file"].endswith(shard.name) for problem in found["problems"]] == [True]
    shown = call(job, "verify", "runs/tiny", code=3).out
    assert "1 problems" in shown


def test_a_flipped_bit_in_the_spooled_input_is_found(job: Path) -> None:
    spooled = max((job / "runs/tiny/spool").rglob("*"), key=lambda path: path.stat().st_size)
    flip(spooled, place=spooled.stat().st_size // 2)
    assert not call(job, "verify", "runs/tiny", "--json", code=3).json["ok"]


def test_a_damaged_shard_is_encoded_again_by_extract(job: Path) -> None:
    shard = shard_of(job, "lexical")
    before = shard.read_bytes()
    flip(shard)
    again = call(job, "extract", "tiny.toml", "--json").json
    assert 0 < again["encoders"]["lexical"]["encoded_rows"] <= 16
    assert shard.read_bytes() == before
    assert call(job, "verify", "runs/tiny", "--json").json["ok"]


def test_a_damaged_head_predicts_nothing(job: Path) -> None:
    flip(job / "runs/tiny/models/seed-1/head.safetensors")
    assert "seed-1" in refused(job, "predict", "runs/tiny", code=3, stdin=b"fox\n")
    assert call(job, "predict", "runs/tiny/models/seed-0", stdin=b"fox\n").lines


@pytest.mark.parametrize(
    "name", ["seed-1/head.safetensors", "seed-0/model.json", "linear/linear.safetensors"]
)
def test_a_damaged_head_is_not_reused_and_trained_anew_where_that_is_asked_for(job: Path, name: str) -> None:
    place = job / "runs/tiny/models" / name
    before = place.read_bytes()
    flip(place, place=40)
    said = refused(job, "train", "tiny.toml", code=3)
    assert f"models/{name}" in said
    assert "train again with --overwrite" in said
    again = call(job, "train", "tiny.toml", "--overwrite", "--json").json
    assert not again["reused"]
    assert place.read_bytes() == before
    assert call(job, "train", "tiny.toml", "--json").json["reused"]
    assert call(job, "verify", "runs/tiny", "--json").json["ok"]


def test_a_damaged_control_is_not_reused(job: Path) -> None:
    flip(job / "runs/tiny/controls/concat/seed-0/head.safetensors")
    said = refused(job, "evaluate", "tiny.toml", "--overwrite", code=3)
    assert "controls/concat/seed-0/head.safetensors" in said
    assert "remove controls/concat there and run again" in said
    shutil.rmtree(job / "runs/tiny/controls/concat")
    call(job, "evaluate", "tiny.toml", "--overwrite")
    assert call(job, "verify", "runs/tiny", "--json").json["ok"]


def test_an_inventory_that_is_no_json_is_corrupt(job: Path) -> None:
    (job / "runs/tiny/embeddings.json").write_text("{", encoding="utf-8")
    assert "embeddings.json: is not JSON" in refused(job, "status", "runs/tiny", code=3)


def test_an_encoder_whose_weights_changed_is_not_used_to_predict(job: Path) -> None:
    flip(job / "model/model.safetensors")
    said = refused(job, "predict", "runs/tiny", code=3, stdin=b"fox\n")
    assert "encoder 'bert' is not the one that this model was trained with (changed: files)" in said


def test_an_encoder_that_is_gone_is_named(job: Path) -> None:
    shutil.rmtree(job / "model")
    assert "model" in call(job, "predict", "runs/tiny", stdin=b"fox\n", code=2).err


@pytest.mark.parametrize("command", ["status", "verify", "predict"])
def test_a_directory_that_holds_nothing_is_refused(command: str, tmp_path: Path) -> None:
    assert "none" in refused(tmp_path, command, "none", code=2)
    (tmp_path / "none").mkdir()
    assert "none" in refused(tmp_path, command, "none", code=2)


def test_a_split_that_is_not_there_is_refused(finished: Job, fresh: Path) -> None:
    assert "'dev'" in refused(fresh, "extract", "tiny.toml", "--split", "dev", code=2)
    assert "'dev'" in refused(finished.directory, "evaluate", "tiny.toml", "--split", "dev", code=2)


def test_a_device_that_is_not_there_is_refused(fresh: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    assert "cuda" in refused(fresh, "extract", "tiny.toml", "--device", "cuda:0", code=2)
