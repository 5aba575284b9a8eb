"""What a step of head training costs at the sizes of GoEmotions: five seeds, batches of 256, 200 n-grams a text.

The bag stands beside its alternatives: an embedding bag with sparse gradients, and CSR matrix products of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from fusionapp.adapters.torch_heads.bag import StackedBag
from fusionapp.adapters.torch_heads.layers import StackedLinear
from fusionapp.adapters.torch_heads.row_adam import RowAdam
from fusionapp.adapters.torch_heads.sparse import SparseRows
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.adapters.torch_shared.muon import orthogonalize
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout
from fusionapp.adapters.torch_shared.streams import seed_streams
from fusionapp.adapters.tracking.fan_out import FanOutTracker
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

Benchmark = Callable[..., Any]

SEEDS, ROWS, COLUMNS, WIDTH, CELLS = 5, 256, 100_000, 64, 200


class Silence:
    """Progress that nobody watches."""

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Silence]:
        yield self

    def advance(self, amount: int, **rates: float) -> None: ...


def ngrams(rows: int) -> csr_array:
    """CSR (rows, columns) of counts whose columns are as skewed as n-grams are."""
    rng = np.random.default_rng(0)
    columns = np.minimum(rng.pareto(0.5, (rows, CELLS)) * 20, COLUMNS - 1).astype(np.int64)
    starts = np.arange(0, columns.size + 1, CELLS)
    counts = csr_array(
        (np.ones(columns.size, dtype=np.float32), columns.ravel(), starts), shape=(rows, COLUMNS)
    )
    counts.sum_duplicates()
    return counts


@pytest.fixture(name="batch", scope="module")
def _batch() -> SparseRows:
    """The cells of one batch of every seed."""
    return SparseRows.of(ngrams(SEEDS * ROWS), torch.device("cpu"))


@pytest.fixture(name="labelled", scope="module")
def _labelled() -> LabelledEmbeddings:
    """Ten batches of GoEmotions' default sources: MiniLM's six layers and n-grams, 27 classes."""
    rng = np.random.default_rng(0)
    rows = 10 * ROWS
    dense = rng.normal(size=(rows, 6, 384)).astype(np.float32)
    return LabelledEmbeddings({"minilm": dense, "lexical": ngrams(rows)}, rng.integers(0, 27, rows))


@pytest.mark.parametrize("way", ["stacked", "in turn"])
def test_an_epoch_of_five_seeds(
    benchmark: Benchmark, labelled: LabelledEmbeddings, tmp_path: Path, way: str
) -> None:
    recipe = TrainingRecipe(epochs=1)
    groups = [range(SEEDS)] if way == "stacked" else [[seed] for seed in range(SEEDS)]

    def train(seeds: Sequence[int]) -> None:
        directories = [str(tmp_path / str(seed)) for seed in seeds]
        TorchHeadTrainer().train(
            FusionSpec(), recipe, seeds, 27, labelled, labelled, directories, FanOutTracker([]), Silence()
        )

    def train_all() -> None:
        for seeds in groups:
            train(seeds)

    benchmark.pedantic(train_all, rounds=3, warmup_rounds=1)  # type: ignore[attr-defined]  # the fixture's


def test_bag_step(benchmark: Benchmark, batch: SparseRows) -> None:
    bag = StackedBag(SEEDS, COLUMNS, WIDTH)
    bag.draw(seed_streams(range(SEEDS), "weights"))
    optimizer = RowAdam([bag])

    def step() -> None:
        torch.autograd.backward(bag(batch).sum())
        optimizer.step(1e-3)

    benchmark(step)


def test_bag_step_with_torchs_sparse_gradients(benchmark: Benchmark, batch: SparseRows) -> None:
    table = torch.nn.EmbeddingBag(SEEDS * COLUMNS, WIDTH, mode="sum", sparse=True, include_last_offset=True)
    optimizer = torch.optim.SparseAdam(table.parameters())

    def step() -> None:
        out = table(batch.columns.long(), batch.starts, per_sample_weights=batch.weights)
        torch.autograd.backward(out.sum())
        optimizer.step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.zero_grad()

    benchmark(step)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("product", ["embedding_bag", "torch_csr", "scipy_csr"])
def test_forward_sums(benchmark: Benchmark, batch: SparseRows, product: str) -> None:
    table = torch.randn(COLUMNS, WIDTH)
    shape = (SEEDS * ROWS, COLUMNS)
    if product == "embedding_bag":
        benchmark(lambda: batch.times(table))
    elif product == "torch_csr":
        matrix = torch.sparse_csr_tensor(
            batch.starts, batch.columns.long(), batch.weights, size=shape, check_invariants=False
        )
        benchmark(lambda: matrix @ table)
    else:
        cells, places, begins = batch.weights.numpy(), batch.columns.numpy(), batch.starts.numpy()
        rows, dense = csr_array((cells, places, begins), shape=shape), table.numpy()
        benchmark(lambda: rows @ dense)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_wide_layer_step(benchmark: Benchmark, dtype: torch.dtype) -> None:
    layer = StackedLinear(SEEDS, 2368, 512)
    layer.draw(seed_streams(range(SEEDS), "weights"))
    layer.train_dtype = dtype
    x = torch.randn(SEEDS, ROWS, 2368, requires_grad=True)
    benchmark(lambda: torch.autograd.backward(layer(x).sum()))


def test_dropout_of_the_fused_vector(benchmark: Benchmark) -> None:
    dropout = SeedDropout(0.3)
    dropout.streams = seed_streams(range(SEEDS), "dropout")
    x = torch.randn(SEEDS, ROWS, 2368)
    benchmark(lambda: dropout(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_muon_orthogonalises_the_wide_layer(benchmark: Benchmark, dtype: torch.dtype) -> None:
    gradient = torch.randn(SEEDS, 2368, 512)
    benchmark.pedantic(orthogonalize, (gradient, dtype), rounds=3)  # type: ignore[attr-defined]  # the fixture's
