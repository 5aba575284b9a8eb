"""Guarding, comparing, classifying and exporting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder
from fakes.house import BuildHouse, House, TopicEncoder, examples
from fakes.stores import MemoryRunStore

from fusionapp.application.ports.embedding_file import EmbeddingFile, EmbeddingRows
from fusionapp.application.services.classify_texts import ClassifyTexts, Prediction
from fusionapp.application.services.compare_runs import CompareRuns
from fusionapp.application.services.export_embeddings import ExportEmbeddings
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.application.services.guard_experiment import GuardExperiment
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError
from fusionapp.domain.examples import Example

EXPERIMENT: dict[str, Any] = {
    "name": "a",
    "seed": 0,
    "task": {"kind": "classify"},
    "dataset": {"train": "t.csv"},
    "encoders": {"m": {"model": "minilm", "device": "auto", "batch_tokens": None}},
    "storage": {"root": "embeddings"},
    "fusion": {"kind": "concat"},
    "train": {"seeds": 5, "device": "auto"},
    "evaluate": {"draws": 10},
}


def changed(**tables: dict[str, Any]) -> dict[str, Any]:
    return {**EXPERIMENT, **{table: {**EXPERIMENT[table], **keys} for table, keys in tables.items()}}


@pytest.fixture
def guarded() -> MemoryRunStore:
    runs = MemoryRunStore()
    GuardExperiment(runs)(EXPERIMENT, overwrite=False)
    runs.write_document("embeddings.json", {})
    return runs


def test_the_resolved_experiment_is_written_down(guarded: MemoryRunStore) -> None:
    assert guarded.read_document("experiment.json") == EXPERIMENT


def test_a_changed_experiment_is_refused_with_every_key_that_differs(guarded: MemoryRunStore) -> None:
    other = changed(dataset={"train": "u.csv"}, storage={"root": "x"})
    other["encoders"] = {**other["encoders"], "new": {"adapter": "lexical"}}
    with pytest.raises(
        UsageError, match=r"changed: dataset\.train, encoders\.new, storage\.root\).*--overwrite"
    ):
        GuardExperiment(guarded)(other, overwrite=False)
    assert guarded.read_document("experiment.json") == EXPERIMENT


def test_an_experiment_that_nothing_came_of_may_be_mended() -> None:
    runs, mended = MemoryRunStore(), changed(dataset={"train": "u.csv"})
    GuardExperiment(runs)(EXPERIMENT, overwrite=False)
    GuardExperiment(runs)(mended, overwrite=False)
    assert runs.read_document("experiment.json") == mended


def test_overwrite_replaces_the_experiment_once_the_new_one_is_known_to_work(guarded: MemoryRunStore) -> None:
    other = changed(dataset={"train": "u.csv"})
    guard = GuardExperiment(guarded)
    guard(other, overwrite=True)
    assert guarded.read_document("experiment.json") == EXPERIMENT
    guard.record(other)
    assert guarded.read_document("experiment.json") == other


def test_what_fails_within_the_guard_leaves_the_experiment_that_it_was_to_replace(
    guarded: MemoryRunStore,
) -> None:
    other, guard = changed(dataset={"train": "u.csv"}), GuardExperiment(guarded)
    with pytest.raises(UsageError, match="a misspelt model"), guard.around(other, overwrite=True):
        raise UsageError("a misspelt model")
    assert guarded.read_document("experiment.json") == EXPERIMENT
    with guard.around(other, overwrite=True):
        assert guarded.read_document("experiment.json") == EXPERIMENT
    assert guarded.read_document("experiment.json") == other


def test_training_may_change_until_something_is_trained(guarded: MemoryRunStore) -> None:
    other = changed(fusion={"kind": "moe"}, train={"seeds": 3})
    GuardExperiment(guarded)(other, overwrite=False)
    guarded.write_document("models/trained.json", {"carried": {}})
    with pytest.raises(UsageError, match=r"changed: fusion\.kind, train\.seeds\)"):
        GuardExperiment(guarded)(EXPERIMENT, overwrite=False)


def test_how_something_is_computed_and_judged_may_always_change(guarded: MemoryRunStore) -> None:
    guarded.write_document("models/trained.json", {"carried": {}})
    other = changed(train={"device": "cuda"}, evaluate={"draws": 99})
    other["encoders"] = {"m": {"model": "minilm", "device": "cuda", "batch_tokens": 64}}
    GuardExperiment(guarded)(other, overwrite=False)
    assert guarded.read_document("experiment.json") == other


def scored(runs: MemoryRunStore, labels: Sequence[str], *seeds: Sequence[str]) -> MemoryRunStore:
    columns: dict[str, Sequence[object]] = {
        "row": np.arange(len(labels)),  # type: ignore[dict-item]  # an array of row numbers
        "id": [f'{{"row": {row}}}' for row in range(len(labels))],
        "label": list(labels),
        "ensemble": list(seeds[0]),
    }
    columns |= {f"seed-{index}": list(seed) for index, seed in enumerate(seeds)}
    runs.write_table("scores/test/result.parquet", columns)
    return runs


def test_a_run_that_is_right_more_often_is_better_and_the_other_worse() -> None:
    labels = ["a", "b"] * 40
    good, bad = scored(MemoryRunStore(), labels, labels, labels), scored(MemoryRunStore(), labels, ["a"] * 80)
    comparison = CompareRuns()(good, bad, "test", 300)
    assert (comparison.verdict, comparison.rows) == ("better", 80)
    assert comparison.difference.estimate == pytest.approx(0.5)
    assert (comparison.mcnemar.only_first, comparison.mcnemar.only_second) == (40, 0)
    assert CompareRuns()(bad, good, "test", 300).verdict == "worse"


def test_five_rows_do_not_make_one_run_better_than_another() -> None:
    labels = ["a", "b"] * 30
    five_wrong = [*(["b", "a"] * 3)[:5], *labels[5:]]
    good, bad = (scored(MemoryRunStore(), labels, said) for said in (labels, five_wrong))
    comparison = CompareRuns()(good, bad, "test", 2000)
    assert comparison.difference.interval.low > 0
    assert (comparison.difference.p_value, comparison.verdict) == (2 / 2**5, "not separable")


def test_a_run_is_not_separable_from_itself() -> None:
    labels = ["a", "b", "c"] * 5
    runs = scored(MemoryRunStore(), labels, labels[::-1])
    comparison = CompareRuns()(runs, runs, "test", 300)
    assert (comparison.verdict, comparison.difference.estimate) == ("not separable", 0.0)


@pytest.mark.parametrize("labels", [["a", "b", "a"], ["b", "a"]])
def test_runs_on_different_rows_cannot_be_paired(labels: list[str]) -> None:
    first, second = scored(MemoryRunStore(), ["a", "b"], ["a", "b"]), scored(MemoryRunStore(), labels, labels)
    with pytest.raises(UsageError, match="scored different rows of 'test'"):
        CompareRuns()(first, second, "test", 300)


def test_a_run_without_scores_says_how_to_get_them() -> None:
    with pytest.raises(UsageError, match="split 'test' is not evaluated; run `fusionapp evaluate`"):
        CompareRuns()(MemoryRunStore(), MemoryRunStore(), "test", 300)


@pytest.fixture
def trained(build: BuildHouse) -> House:
    house = build({"train": examples(60, 1)})
    data = house.prepare(house.extract({"topic": TopicEncoder()}))
    house.trained(data, [0, 1])
    return house


def classify(house: House, texts: Sequence[str], batch_size: int = 1024) -> list[Prediction]:
    heads = [house.runs.path(f"models/seed-{seed}") for seed in (0, 1)]
    service = ClassifyTexts(house.scorer, house.path)
    path = house.runs.path(f"models/{LINEAR_PATH}")
    return list(service(texts, {"topic": TopicEncoder()}, heads, ["fear", "grief", "joy"], path, batch_size))


def test_new_texts_are_classified_in_input_order(trained: House) -> None:
    found = classify(trained, ["joy unbound", "grief and loss", "joy again"])
    assert [(one.text, one.label) for one in found] == [
        ("joy unbound", "joy"),
        ("grief and loss", "grief"),
        ("joy again", "joy"),
    ]
    for one in found:
        assert list(one.probabilities) == ["fear", "grief", "joy"]
        assert sum(one.probabilities.values()) == pytest.approx(1, abs=1e-6)
        assert one.probability == max(one.probabilities.values()) == one.probabilities[one.label]


@pytest.mark.parametrize("batch_size", [1, 2, 5, 99])
def test_a_prediction_does_not_depend_on_the_batch(trained: House, batch_size: int) -> None:
    texts = [text for text, _ in examples(5, 9)]
    assert classify(trained, texts, batch_size) == classify(trained, texts)


def test_no_texts_are_no_predictions(trained: House) -> None:
    assert classify(trained, []) == []


def test_a_blank_text_is_counted_over_the_whole_input(trained: House) -> None:
    with pytest.raises(UsageError, match=r"text 3 is blank \(counted from 0\)"):
        classify(trained, ["joy", "fear", "joy", " "], batch_size=2)


def test_a_text_that_cannot_be_encoded_is_named(trained: House) -> None:
    service = ClassifyTexts(trained.scorer, trained.path)
    with pytest.raises(
        UsageError, match=r"text 1 .*encoder 'topic' gives no embedding: its numbers are not finite"
    ):
        list(service(["joy", "FAIL"], {"topic": FailingEncoder()}, [], ["a", "b"]))


class KeptFile(EmbeddingFile):
    """Keeps what it was asked to write."""

    def write(self, path: str, rows: EmbeddingRows, metadata: Mapping[str, Json]) -> Sequence[str]:
        self.rows, self.metadata = rows, metadata
        blocks = list(rows.blocks())
        self.embeddings = np.concatenate([np.asarray(block) for _, block in blocks])
        self.ids = None if rows.ids is None else [one for numbers, _ in blocks for one in rows.ids(numbers)]
        self.numbers = [int(number) for numbers, _ in blocks for number in numbers]
        return [path]


def export(
    house: House, file: EmbeddingFile, encoder: str | None = "a", split: str | None = "train"
) -> Sequence[str]:
    inventory = house.runs.read_document("embeddings.json")
    assert inventory is not None
    return ExportEmbeddings(house.store, house.spool)(inventory, encoder, split, file, "out.npy", "mini")


def test_exported_rows_leave_the_quarantined_out(build: BuildHouse) -> None:
    house, file = build({"train": [("joy", "a"), (" ", "b"), ("fear", "b")]}), KeptFile()
    house.extract({"a": CountingEncoder(layers=2, dim=8)}, on_empty="quarantine")
    assert export(house, file) == ["out.npy"]
    assert file.embeddings.shape == (2, 2, 8)
    assert (file.numbers, file.rows.rows, file.ids) == ([0, 2], 2, None)
    assert file.metadata["model_name"] == "mini"
    assert (file.metadata["rows"], file.metadata["layers"], file.metadata["embedding_dim"]) == (2, 2, 8)
    assert file.metadata["quarantined"] == [{"row": 1, "reason": "blank text"}]


def test_exported_rows_carry_their_id_columns(build: BuildHouse) -> None:
    house, file = build({"train": examples(9, 1)}), KeptFile()
    house.extract({"a": CountingEncoder()}, shard_rows=4)
    named = [
        Example(one.text, one.label, {"paper": row})
        for row, one in enumerate(house.spool.read("train").examples)
    ]
    house.spool.write("train", named)
    export(house, file)
    assert file.ids == [{"paper": row} for row in range(9)]


def test_rows_are_not_given_the_ids_of_texts_that_were_read_later(build: BuildHouse) -> None:
    house = build({"train": examples(4, 1)})
    house.extract({"a": CountingEncoder()})
    house.splits = {"train": examples(4, 2)}
    house.read()  # as an extraction does that is killed before it writes its inventory

    with pytest.raises(UsageError, match=r"a train: the dataset was read anew.*fusionapp extract"):
        export(house, KeptFile())


def test_the_only_encoder_and_split_need_no_name(build: BuildHouse) -> None:
    house, file = build({"train": examples(3, 1)}), KeptFile()
    house.extract({"a": CountingEncoder()})
    export(house, file, None, None)
    assert (file.metadata["encoder"], file.metadata["split"]) == ("a", "train")


def test_one_of_several_encoders_must_be_named(build: BuildHouse) -> None:
    house = build({"train": examples(3, 1)})
    house.extract({"a": CountingEncoder(), "b": CountingEncoder(name="b")})
    with pytest.raises(UsageError, match="several encoders are stored: a, b; name one with --encoder"):
        export(house, KeptFile(), None)


def test_the_metadata_says_how_fast_the_set_was_made(build: BuildHouse) -> None:
    house, file = build({"train": examples(9, 1)}), KeptFile()
    house.extract({"a": CountingEncoder()})
    export(house, file)
    assert file.metadata["seconds"] > 0
    assert file.metadata["texts_per_second"] == pytest.approx(9 / file.metadata["seconds"])


def test_a_set_that_another_run_made_has_no_speed(build: BuildHouse) -> None:
    house, file = build({"train": examples(9, 1)}), KeptFile()
    house.extract({"a": CountingEncoder()})
    house.runs = MemoryRunStore(house.scratch)
    house.extract({"a": CountingEncoder()})
    export(house, file)
    assert (file.metadata["seconds"], file.metadata["texts_per_second"]) == (None, None)


@pytest.mark.parametrize(
    ("encoder", "split", "message"),
    [("b", "train", "'b' is not among a"), ("a", "dev", "'dev' is not among")],
)
def test_an_export_of_what_is_not_there_says_what_is(
    build: BuildHouse, encoder: str, split: str, message: str
) -> None:
    house = build({"train": examples(3, 1)})
    house.extract({"a": CountingEncoder()})
    with pytest.raises(UsageError, match=message):
        export(house, KeptFile(), encoder, split)


def test_what_is_not_extracted_yet_is_not_exported(build: BuildHouse, tmp_path: Path) -> None:
    house = build({"train": examples(3, 1)})
    house.extract({"a": CountingEncoder()})
    house.store.sets.clear()
    with pytest.raises(UsageError, match="not extracted completely"):
        export(house, KeptFile())
