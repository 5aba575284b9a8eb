"""What benchmarks count and compare: work and its limits, vocabularies, the published head, results on disk."""

from __future__ import annotations

import json
from pathlib import Path

import llmembed_head
import numpy as np
import pytest
import torch
from device_limits import Rates
from fusion_steps import SPECS, fusion_step, pooling_step
from labelled import Texts, read_directory, write_rows
from llmembed_head import PublishedHead, Variant
from result_file import save_result
from seed_timing import measure, synthetic
from vocabulary import Columns, count

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.cooccurrence import cooccurrence
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

CPU = torch.device("cpu")
TRAIN = ["What a lovely day!", "what a sad, sad day", "don't"]


def test_concat_must_move_inputs_outputs_and_their_gradients_once() -> None:
    work = fusion_step(SPECS["concat"], CPU, rows=8, dims=(16, 4)).work
    assert (work.moved, work.multiplied) == (4 * 8 * (16 + 4) * 4, 0)


def test_a_sum_multiplies_three_times_what_its_projections_do() -> None:
    spec = FusionSpec(kind="sum", dim=8)
    work = fusion_step(spec, CPU, rows=8, dims=(16, 4)).work
    assert work.multiplied == 3 * 2 * 8 * (16 + 4) * 8
    numbers = 8 * (16 + 4) + (16 + 4) * 8 + 2 * 8 + 8 * 8
    assert work.moved == 2 * numbers * 4


@pytest.mark.parametrize("name", SPECS)
def test_every_fusion_takes_a_step(name: str) -> None:
    step = fusion_step(SPECS[name], CPU, rows=4, dims=(16, 8, 8))
    step.run()
    assert step.work.moved > 0


def test_a_mean_reads_all_states_and_the_first_token_its_own() -> None:
    mean, first = (pooling_step(kind, CPU, rows=4, tokens=8, dim=16).work for kind in ("mean", "cls"))
    assert mean.moved - first.moved == 4 * (8 - 1) * 16 * 4


def test_the_larger_limit_binds() -> None:
    work = fusion_step(SPECS["sum"], CPU, rows=4, dims=(16, 8)).work
    limits = work.limits(Rates(bandwidth=work.moved / 2, products=work.multiplied))
    assert limits == {"bandwidth_seconds": 2.0, "product_seconds": 1.0, "limit_seconds": 2.0}


def test_a_fitted_vocabulary_counts_the_n_grams_that_are_hashed() -> None:
    hashed, _ = count(Columns("hashed", bits=22), TRAIN, TRAIN)
    fitted, looked_up = count(Columns("fitted"), TRAIN, ["a day", "zzz"])
    np.testing.assert_array_equal(hashed.sum(1), fitted.sum(1))
    assert sorted(hashed.data) == sorted(fitted.data)
    assert looked_up.shape == (2, fitted.shape[1])
    # Of an unknown word no n-gram was fitted.
    assert looked_up.sum(1)[1] == 0


@pytest.mark.parametrize("normalize", [False, True])
def test_the_published_heads_cells_are_the_formulas(normalize: bool) -> None:
    torch.manual_seed(0)
    head = PublishedHead(5, 8, 2, 8, 3, Variant("", softmax=True, normalize=normalize)).eval()
    layers, others = torch.randn(4, 5, 8), torch.randn(4, 2, 8)
    probabilities = head(layers, others)
    compressed = [compress(layers[:, i]) for i, compress in enumerate(head.compress)]
    views = torch.cat([torch.stack(compressed, dim=1), others], dim=1)
    torch.testing.assert_close(head.cells, cooccurrence(views, normalize=normalize, power="code"))
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(4))


def test_the_published_head_predicts_test_once_a_seed_at_the_rate_that_validation_chose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rows(count: int) -> LabelledEmbeddings:
        rng = np.random.default_rng(count)
        shapes = {"layers": 5, "first": 1, "last": 1}
        sources = {name: rng.normal(size=(count, n, 4)).astype(np.float32) for name, n in shapes.items()}
        return LabelledEmbeddings(sources, np.arange(count) % 3)

    predict, predicted = llmembed_head._predict, []

    def counted(head: PublishedHead, split: llmembed_head.Split) -> torch.Tensor:
        predicted.append(len(split.labels))
        return predict(head, split)

    monkeypatch.setattr(llmembed_head, "_predict", counted)
    embedded = {"train": rows(12), "validation": rows(9), "test": rows(7)}
    found = llmembed_head.published(embedded, classes=3, seeds=2, epochs=1, device=CPU)
    assert len(found) == len(llmembed_head.VARIANTS)
    assert predicted.count(7) == len(llmembed_head.VARIANTS) * 2
    assert predicted.count(9) == predicted.count(7) * len(llmembed_head.RATES)


def test_seeds_are_timed_over_the_same_work_whether_stacked_or_in_turn() -> None:
    recipe = TrainingRecipe(seeds=2, epochs=1, hidden_dims=(8,), batch_size=32, device="cpu")
    stacked, in_turn, plain = measure(synthetic(64), synthetic(32, 1), 27, FusionSpec(bag_width=4), recipe)
    assert stacked["times_stacked"] == 1
    assert in_turn["validation_accuracy"] == stacked["validation_accuracy"]
    assert plain["seconds"] > 0


def test_labelled_texts_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    written = Texts(["one\ntwo", "three", "four", "five"] * 5, np.array([0, 1, 0, 1] * 5))
    write_rows(written, tmp_path / "train.jsonl")
    splits, classes = read_directory(tmp_path, validation=False)
    assert classes == ["0", "1"]
    assert list(splits["train"].texts) == list(written.texts)
    np.testing.assert_array_equal(splits["train"].labels, written.labels)
    assert len(read_directory(tmp_path)[0]["validation"].texts) == 2


def test_a_result_says_when_and_on_what_it_was_measured(tmp_path: Path) -> None:
    path = save_result("trial", {"rows": 3}, [{"seconds": 0.5}], "cpu", tmp_path / "deep" / "trial.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["results"] == [{"seconds": 0.5}]
    assert {"processor", "cores", "device"} <= set(found["machine"])
    assert "torch" in found["machine"]["packages"]
    assert {"date", "settings"} <= set(found)
    assert [file.name for file in path.parent.iterdir()] == ["trial.json"]
