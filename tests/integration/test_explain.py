"""`fusionapp explain` over a small trained run: its files, its numbers and its refusals."""

from __future__ import annotations

import csv
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from command_line import call
from small_job import Job, write_job

import fusionapp
from fusionapp.entrypoints.explanations import Explanation

ALWAYS = ["sources", "confusion", "confused-pairs", "classes", "errors", "reliability"]


@pytest.fixture(scope="module")
def explained(finished: Job, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The finished experiment, explained on test; not to be changed."""
    import shutil

    directory = Path(shutil.copytree(finished.directory, tmp_path_factory.mktemp("explained") / "job"))
    return directory, call(directory, "explain", "runs/tiny", "--split", "test", "--json").json


def table(directory: Path, report: Any, name: str) -> list[dict[str, str]]:
    with (directory / report["tables"][name]["path"]).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_finding_has_a_table_and_well_formed_pictures(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    assert {*ALWAYS, "layers", "weights"} <= set(report["tables"])
    for name, finding in report["tables"].items():
        assert len(table(directory, report, name)) == finding["rows"]
        if finding["figure"] is not None:
            svg = (directory / finding["figure"]).read_text(encoding="utf-8")
            assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert [name for name, finding in report["tables"].items() if finding["figure"] is None] == [
        "confused-pairs"
    ]


def test_the_index_leads_to_every_file(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    index = directory / report["index"]
    text = index.read_text(encoding="utf-8")
    for finding in report["tables"].values():
        for path in (finding["path"], finding["figure"]):
            if path is not None:
                assert f"({Path(path).name})" in text
                assert (index.parent / Path(path).name).is_file()


def test_the_whole_is_as_accurate_as_the_evaluation_says(explained: tuple[Path, Any], finished: Job) -> None:
    _, report = explained
    expected = finished.evaluated["result"]["accuracy"]["mean"]
    assert report["tables"]["sources"]["numbers"]["accuracy"] == pytest.approx(expected)
    both = finished.evaluated["ensemble"]
    assert report["tables"]["confusion"]["numbers"]["accuracy"] == pytest.approx(both["accuracy"]["mean"])
    assert report["tables"]["reliability"]["numbers"]["ece"] == pytest.approx(both["ece"]["mean"], abs=1e-6)


def test_errors_are_the_rows_that_the_evaluation_got_wrong(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    scores = pq.read_table(directory / "runs/tiny/scores/test/result.parquet").to_pydict()
    wrong = {
        row: (label, said)
        for row, label, said in zip(scores["row"], scores["label"], scores["ensemble"], strict=True)
        if label != said
    }
    listed = table(directory, report, "errors")
    assert {int(row["row"]): (row["label"], row["predicted"]) for row in listed} == wrong
    with (directory / "test.csv").open(encoding="utf-8") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    assert all(row["text"] == texts[int(row["row"])] for row in listed)


def test_weights_of_every_class_sum_to_1(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    rows = table(directory, report, "weights")
    assert [row["class"] for row in rows] == ["grief", "joy", "numbers"]
    for row in rows:
        assert sum(float(row[name]) for name in ("bert", "last", "lexical")) == pytest.approx(1, abs=1e-5)


def test_layers_carry_the_encoder_s_own_numbers(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    names = [row["part"] for row in table(directory, report, "layers")]
    assert len(names) == 2
    assert all(name.startswith("bert layer ") for name in names)


def test_what_was_written_verifies_and_comes_out_the_same_again(explained: tuple[Path, Any]) -> None:
    directory, report = explained
    assert call(directory, "verify", "runs/tiny", "--json").json["ok"]
    files = sorted((directory / report["index"]).parent.iterdir())
    before = [path.read_bytes() for path in files]
    assert call(directory, "explain", "runs/tiny", "--split", "test", "--json").json == report
    assert [path.read_bytes() for path in files] == before


def test_validation_is_explained_unless_another_split_is_named(job: Path, finished: Job) -> None:
    shown = call(job, "explain", "tiny.toml").out
    assert "rows of validation, 3 classes, 2 seeds of gated over bert, last, lexical" in shown
    assert "explanations/validation/index.md" in shown
    with (job / "runs/tiny/explanations/validation/classes.csv").open(encoding="utf-8") as file:
        assert sum(int(row["support"]) for row in csv.DictReader(file)) == 9  # a tenth of train


def test_train_is_explained_without_the_rows_set_aside(job: Path) -> None:
    report = call(job, "explain", "tiny.toml", "--split", "train", "--json").json
    assert report["rows"] == 81
    assert any("trained on these rows" in note for note in report["notes"])


def test_test_is_not_explained_before_it_is_evaluated(job: Path) -> None:
    (job / "runs/tiny/metrics-test.json").unlink()
    refused = call(job, "explain", "tiny.toml", "--split", "test", code=2)
    assert "split 'test' is not evaluated; run `fusionapp evaluate` first" in refused.err
    assert not (job / "runs/tiny/explanations").exists()


def test_an_untrained_run_and_an_unknown_split_are_refused(fresh: Path, job: Path) -> None:
    assert "run `fusionapp train` first" in call(fresh, "explain", "tiny.toml", code=2).err
    assert (
        "'dev': the run has test, train, validation"
        in call(job, "explain", "tiny.toml", "--split", "dev", code=2).err
    )


def test_retraining_leaves_each_source_out_once_and_is_reused(job: Path) -> None:
    report = call(job, "explain", "tiny.toml", "--retrain", "--json").json
    assert [row["part"] for row in table(job, report, "retrained")] == ["bert", "last", "lexical"]
    trained = job / "runs/tiny/ablations/without-lexical/trained.json"
    before = trained.stat().st_mtime_ns
    assert call(job, "explain", "tiny.toml", "--retrain", "--json").json == report
    assert trained.stat().st_mtime_ns == before


def test_without_matplotlib_the_tables_are_there_and_the_extra_is_named(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report = call(job, "explain", "tiny.toml", "--json").json
    assert set(ALWAYS) <= set(report["tables"])
    assert not any(finding["figure"] for finding in report["tables"].values())
    assert any("extra `charts`" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("moe", "weights"),
        ("attention", "weights"),
        ("late", "weights"),
        ("cooccurrence", "interactions"),
        ("quaternion", "interactions"),
    ],
)
def test_every_kind_of_fusion_has_its_insides_shown(tmp_path: Path, kind: str, finding: str) -> None:
    found = explain_small(tmp_path, {"kind": kind, "product_dim": 16, "expert_dim": 8})
    assert finding in {one.name for one in found.findings}


def test_a_single_sparse_source_can_be_explained(tmp_path: Path) -> None:
    found = explain_small(tmp_path, {"kind": "concat"})
    names = [one.name for one in found.findings]
    assert "sources" in names
    assert "layers" not in names
    assert "weights" not in names


def explain_small(directory: Path, fusion: dict[str, Any]) -> Explanation:
    """Two lexical sources, or one where they are concatenated: no model, and so no time."""
    write_job(directory)
    experiment = {
        "name": "small",
        "dataset": {"train": "train.csv"},
        "encoders": {
            "words": {"adapter": "lexical", "dim": 512, "char_ngrams": [2, 3]},
            "letters": {"adapter": "lexical", "dim": 256},
        },
        "fusion": {**fusion, "bag_width": 8, "dim": 8},
        "train": {"seeds": 2, "epochs": 2, "hidden_dims": [8]},
        "evaluate": {"draws": 100},
    }
    if fusion["kind"] == "concat":
        del experiment["encoders"]["letters"]  # type: ignore[attr-defined]
    with chdir(directory):
        fusionapp.train(experiment)
        return fusionapp.explain(experiment)
