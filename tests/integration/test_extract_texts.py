"""`extract --texts`: files of every encoder out of a file of texts, without an experiment file."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import call, refused
from numpy.typing import NDArray
from scipy.sparse import load_npz
from small_job import Job
from tiny_models import DIM, LAYERS, POSITIONS, save_tiny

WORDS = (
    "the quick brown fox",
    "what a sad day",
    "nobody came, and the rain never stopped",
    "a small red house",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bge-tiny-v1.5, and e5-tiny of other weights: equal models are computed once."""
    directory = tmp_path_factory.mktemp("models")
    save_tiny("bert", directory / "bge-tiny-v1.5")
    save_tiny("bert", directory / "e5-tiny", layers=LAYERS + 1)
    return directory


def paragraphs(count: int = 20, blank: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Rows with ids of several types and a column that nobody reads."""
    return [
        {
            "label": None,
            "paragraph_index": row,
            "weight": row / 4,
            "paragraph": " " if row in blank else f"{WORDS[row % 4]} {row}",
            "known": row % 2 == 0,
            "paper_id": f"astro-ph/{row // 5:04}",
        }
        for row in range(count)
    ]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def words(models: Path, file: str = "p.jsonl") -> list[str | Path]:
    return [
        *("extract", "--texts", file, "--text", "paragraph", "--output", "out"),
        *("--id", "paper_id", "--id", "paragraph_index"),
        *("--encoder", models / "bge-tiny-v1.5", "--encoder", models / "e5-tiny"),
    ]


def test_each_encoder_leaves_its_files_metadata_and_ids_under_its_models_name(
    tmp_path: Path, models: Path
) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs())
    flags = ("--prefix", "e5-tiny=passage: ", "--max-length", "e5-tiny=16", "--normalize", "e5-tiny")
    formats = ("--format", "npy", "--format", "jsonl")
    report = call(tmp_path, *words(models), *flags, *formats, "--batch-size", "4", "--json").json
    assert report["complete"]
    assert report["files"] == [
        str(Path("out", f"{name}.{suffix}"))
        for name in ("bge-tiny-v1.5", "e5-tiny")
        for suffix in ("npy", "jsonl", "json", "ids.jsonl")
    ]
    vectors: NDArray[np.float32] = np.load(tmp_path / "out/e5-tiny.npy")
    assert vectors.shape == (20, DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-3)
    records = lines(tmp_path / "out/e5-tiny.jsonl")
    assert [list(one) for one in records] == [
        ["index", "paper_id", "paragraph_index", "embedding", "model"]
    ] * 20
    assert records[7]["paper_id"] == "astro-ph/0001"
    assert (records[7]["paragraph_index"], type(records[7]["paragraph_index"])) == (7, int)
    assert records[7]["model"] == "e5-tiny"
    np.testing.assert_array_equal([one["embedding"] for one in records], vectors)
    about = json.loads((tmp_path / "out/e5-tiny.json").read_text())
    assert about["model_name"] == str(models / "e5-tiny")
    assert (about["embedding_dim"], about["num_paragraphs"], about["rows"]) == (DIM, 20, 20)
    assert about["processing_time"] == about["seconds"] > 0
    assert (about["batch_size"], about["batch_tokens"]) == (4, 4 * 16)
    assert about["files"] == {"npy": "e5-tiny.npy", "jsonl": "e5-tiny.jsonl"}
    assert (about["identity"]["prefix"], about["identity"]["max_length"]) == ("passage: ", 16)
    other = json.loads((tmp_path / "out/bge-tiny-v1.5.json").read_text())
    assert (other["identity"]["prefix"], other["identity"]["max_length"]) == ("", POSITIONS)
    assert not np.allclose(np.load(tmp_path / "out/bge-tiny-v1.5.npy"), vectors, atol=0.05)


def test_the_output_is_a_run_directory(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs())
    call(tmp_path, *words(models))
    assert call(tmp_path, "status", "out", "--json").json["complete"]
    assert call(tmp_path, "verify", "out", "--json").json["ok"]
    assert (tmp_path / "out/embeddings/npy").is_dir()
    call(tmp_path, "export", "embeddings", "out", "--encoder", "e5-tiny", "--output", "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == (tmp_path / "out/e5-tiny.npy").read_bytes()


def test_the_same_command_again_encodes_nothing_and_leaves_the_files(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs())
    call(tmp_path, *words(models))
    before = (tmp_path / "out/e5-tiny.npy").stat()
    again = call(tmp_path, *words(models), "--json").json
    assert [one["encoded_rows"] for one in again["encoders"].values()] == [0, 0]
    assert (tmp_path / "out/e5-tiny.npy").stat() == before
    assert "(already there)" in call(tmp_path, *words(models)).out


def test_other_ids_of_the_same_texts_are_exported_without_encoding(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs())
    call(tmp_path, *words(models))
    write_lines(tmp_path / "p.jsonl", [row | {"paper_id": "new"} for row in paragraphs()])
    again = call(tmp_path, *words(models), "--json").json
    assert again["encoders"]["e5-tiny"]["encoded_rows"] == 0
    assert {one["paper_id"] for one in lines(tmp_path / "out/e5-tiny.ids.jsonl")} == {"new"}


def test_appended_texts_are_added_to_the_files(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(12))
    call(tmp_path, *words(models), "--shard-rows", "4")
    before: NDArray[np.float32] = np.load(tmp_path / "out/e5-tiny.npy")
    write_lines(tmp_path / "p.jsonl", paragraphs(15))
    again = call(tmp_path, *words(models), "--shard-rows", "4", "--json").json
    assert again["encoders"]["e5-tiny"]["encoded_rows"] == 3
    after: NDArray[np.float32] = np.load(tmp_path / "out/e5-tiny.npy")
    np.testing.assert_array_equal(after[:12], before)
    assert len(after) == 15


def test_blank_rows_are_left_out_listed_with_their_ids_and_end_with_5(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(blank=(3, 11)))
    ended = call(tmp_path, *words(models), "--format", "jsonl", "--json", code=5)
    assert {(one["encoder"], one["row"]) for one in ended.json["quarantined"]} == {
        (name, row) for name in ("bge-tiny-v1.5", "e5-tiny") for row in (3, 11)
    }
    rows = [one["index"] for one in lines(tmp_path / "out/e5-tiny.jsonl")]
    assert rows == [row for row in range(20) if row not in (3, 11)]
    about = json.loads((tmp_path / "out/e5-tiny.json").read_text())
    assert about["num_paragraphs"] == 18
    assert about["quarantined"][1] == {
        "row": 11,
        "reason": "blank text",
        "id": {"paper_id": "astro-ph/0002", "paragraph_index": 11},
    }


def test_a_blank_row_can_be_an_error(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(blank=(3,)))
    said = refused(tmp_path, *words(models), "--on-empty", "error", code=2)
    assert "row 3" in said
    assert "the text is blank" in said


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.name.endswith(".gz"):
        plain = path.with_suffix("")
        write_table(plain, rows)
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif path.suffix == ".txt":
        path.write_text("".join(f"{row['paragraph']}\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".jsonl":
        write_lines(path, rows)
    else:
        write_csv(path, rows, "\t" if path.suffix == ".tsv" else ",")


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet", "p.txt", "p.jsonl.gz", "p.txt.gz"])
def test_a_file_of_any_kind_gives_the_same_vectors(tmp_path: Path, models: Path, name: str) -> None:
    for file, output in (("p.jsonl", "lines"), (name, "other")):
        write_table(tmp_path / file, paragraphs(6))
        encoder = ("--encoder", models / "e5-tiny")
        call(tmp_path, "extract", "--texts", file, "--text", "paragraph", *encoder, "--output", output)
    first, second = (np.load(tmp_path / output / "e5-tiny.npy") for output in ("lines", "other"))
    np.testing.assert_array_equal(first, second)


def test_ids_keep_the_types_that_the_file_gives_them(tmp_path: Path, models: Path) -> None:
    for name in ("p.jsonl", "p.csv", "p.parquet"):
        write_table(tmp_path / name, paragraphs(3))
        ids = [word for one in ("paragraph_index", "weight", "known") for word in ("--id", one)]
        encoder = ("--encoder", "lexical", "--set", "encoders.lexical.dim=4096")
        output = ("--output", name.split(".")[1])
        call(tmp_path, "extract", "--texts", name, "--text", "paragraph", *encoder, *ids, *output)
    kept = {name: lines(tmp_path / name / "lexical.ids.jsonl")[2] for name in ("jsonl", "csv", "parquet")}
    typed = {"index": 2, "paragraph_index": 2, "weight": 0.5, "known": True}
    assert kept["jsonl"] == kept["parquet"] == typed
    assert kept["csv"] == {"index": 2, "paragraph_index": "2", "weight": "0.5", "known": "True"}


def test_columns_may_stand_in_any_order_in_every_line(tmp_path: Path, models: Path) -> None:
    rows = paragraphs(4)
    write_lines(
        tmp_path / "p.jsonl", [dict(reversed(row.items())) if n % 2 else row for n, row in enumerate(rows)]
    )
    call(tmp_path, *words(models))
    kept = [one["paragraph_index"] for one in lines(tmp_path / "out/e5-tiny.ids.jsonl")]
    assert kept == [0, 1, 2, 3]


@pytest.mark.parametrize("column", ["paragraph", "paper_id"])
def test_a_row_without_a_column_is_named(tmp_path: Path, models: Path, column: str) -> None:
    rows = paragraphs(4)
    del rows[2][column]
    write_lines(tmp_path / "p.jsonl", rows)
    assert f"row 2 (counted from 0), line 3, column {column!r}: no such column" in refused(
        tmp_path, *words(models), code=2
    )
    assert not (tmp_path / "out/e5-tiny.npy").exists()


def test_a_text_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, models: Path) -> None:
    write_csv(tmp_path / "p.csv", paragraphs(4))
    said = refused(tmp_path, *words(models, "p.csv"), "--text", "body", code=2)
    assert "column 'body': no such column; the columns there are: 'label', 'paragraph_index'" in said


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.jsonl", "", "split 'texts' has no rows"),
        ("p.csv", "", "the file is empty"),
        ("p.csv", "paragraph,paper_id,paragraph_index\n", "split 'texts' has no rows"),
        ("p.txt", "a\n", "column 'paper_id': a .txt file holds a text a line and no other column"),
        ("p.doc", "a\n", "unknown kind of file"),
    ],
)
def test_a_file_that_cannot_be_embedded_is_refused(
    tmp_path: Path, models: Path, name: str, content: str, said: str
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert said in refused(tmp_path, *words(models, name), code=2)


def test_a_sparse_encoder_is_written_as_npz_beside_dense_ones(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(6))
    sparse = ("--encoder", "lexical", "--set", "encoders.lexical.dim=4096")
    files = call(tmp_path, *words(models), *sparse, "--json").json["files"]
    assert str(Path("out/lexical.npz")) in files
    assert load_npz(tmp_path / "out/lexical.npz").shape == (6, 4096)


def test_flags_of_an_encoder_that_is_not_there_are_refused_before_anything_is_read(
    tmp_path: Path, models: Path
) -> None:
    said = refused(tmp_path, *words(models, "nowhere.jsonl"), "--prefix", "e5-tny=x", code=2)
    assert "--prefix e5-tny=x: no such encoder; did you mean e5-tiny?" in said


def test_a_changed_prefix_is_refused_and_overwrite_replaces_the_files(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(6))
    call(tmp_path, *words(models))
    before = (tmp_path / "out/e5-tiny.npy").read_bytes()
    changed = (*words(models), "--prefix", "e5-tiny=passage: ")
    assert "changed: encoders.e5-tiny.prefix" in refused(tmp_path, *changed, code=2)
    call(tmp_path, *changed, "--overwrite")
    assert (tmp_path / "out/e5-tiny.npy").read_bytes() != before


def test_another_batch_size_is_the_same_job(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(6))
    call(tmp_path, *words(models), "--batch-size", "2")
    again = call(tmp_path, *words(models), "--batch-tokens", "64", "--json").json
    assert again["encoders"]["e5-tiny"]["encoded_rows"] == 0


def test_texts_without_labels_cannot_be_trained_on(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(6))
    call(tmp_path, *words(models))
    assert "dataset.texts: these texts have no labels" in refused(tmp_path, "train", "out", code=2)


def test_verbose_says_what_is_read_chosen_missing_and_written(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(6))
    said = call(tmp_path, "--verbose", *words(models), "--shard-rows", "4", "--batch-size", "4").err
    for part in (
        "embeddings are kept under out/embeddings",
        "e5-tiny: --batch-size 4 becomes 2048 tokens a batch",
        "reading column paragraph of p.jsonl",
        "texts: 6 rows",
        "e5-tiny: pooling: mean (",
        "e5-tiny texts: 6 of 6 rows are missing, in 2 shards",
        "texts/s",
        "wrote out/e5-tiny.npy",
    ):
        assert part in said
    again = call(tmp_path, "--verbose", *words(models), "--shard-rows", "4").err
    assert "each of 6 rows stands in" in again
    assert "left as it is: out/e5-tiny.npy" in again


def test_help_groups_its_options_and_shows_examples(tmp_path: Path) -> None:
    shown = call(tmp_path, "extract", "--help").out
    for heading in ("What is embedded:", "Encoders:", "Where it goes:", "How it runs:", "Examples:"):
        assert f"\n{heading}" in shown or f"  {heading}" in shown
    assert "Other options:" not in shown, "an option without a heading"
    assert "--prefix e5-large='passage: ' \\\n" in shown


def test_an_experiment_of_several_splits_leaves_a_file_for_each(finished: Job, tmp_path: Path) -> None:
    copytree(finished.directory, tmp_path / "job", ignore=ignore_patterns("runs"))
    words = ("extract", "tiny.toml", "--encoder", "bert", "--encoder", "last", "--encoder", "lexical")
    files = call(tmp_path / "job", *words, "--format", "npy", "--json").json["files"]
    assert [Path(path).name for path in files] == [
        f"{name}.{split}.{suffix}"
        for name, form in (("model", "npy"), ("model-2", "npy"), ("lexical", "npz"))
        for split in ("train", "test")
        for suffix in (form, "json")
    ]
    assert np.load(tmp_path / "job/runs/tiny/model.test.npy").shape == (40, 2, DIM)
    assert np.load(tmp_path / "job/runs/tiny/model-2.test.npy").shape == (40, DIM)


@pytest.mark.slow
def test_several_workers_leave_the_same_files(tmp_path: Path, models: Path) -> None:
    write_lines(tmp_path / "p.jsonl", paragraphs(24, blank=(5,)))
    shards = ("--shard-rows", "4")
    call(tmp_path, *words(models), *shards, code=5)
    call(tmp_path, *words(models), *shards, "--workers", "2", "--output", "other", code=5)
    for name in ("bge-tiny-v1.5.npy", "e5-tiny.ids.jsonl"):
        assert (tmp_path / "other" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
