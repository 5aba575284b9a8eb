"""The embedding bag against a dense matrix product, and its optimiser against a loop."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.torch_heads.bag import StackedBag
from fusionapp.adapters.torch_heads.row_adam import RowAdam
from fusionapp.adapters.torch_heads.sparse import SparseRows, TouchedColumns, weighted_sums
from fusionapp.adapters.torch_shared.streams import seed_streams

CPU = torch.device("cpu")
CELLS = np.array([[0, 2, 0, 1, 0], [0, 0, 0, 0, 0], [3, 0, 0, 0.5, 0]], dtype=np.float32)


def sparse(cells: NDArray[np.float32] = CELLS) -> SparseRows:
    return SparseRows.of(csr_array(cells), CPU)


def bag(seeds: list[int], columns: int = 5, width: int = 4) -> StackedBag:
    layer = StackedBag(len(seeds), columns, width)
    layer.draw(seed_streams(seeds, "weights"))
    return layer


def dense(rows: SparseRows, columns: int = 5) -> torch.Tensor:
    out = torch.zeros(len(rows.starts) - 1, columns)
    out[rows.owners().long(), rows.columns.long()] = rows.weights
    return out


def test_rows_come_in_the_order_asked_for_empty_ones_too() -> None:
    taken = sparse().take(torch.tensor([[2, 1], [0, 2]]))
    np.testing.assert_array_equal(dense(taken).numpy(), CELLS[[2, 1, 0, 2]])


def test_rows_times_a_table_is_the_dense_product() -> None:
    table = torch.randn(5, 4)
    torch.testing.assert_close(sparse().times(table), torch.from_numpy(CELLS) @ table)


def test_a_batch_of_empty_rows_sums_to_zeros() -> None:
    empty = sparse(np.zeros((2, 5), dtype=np.float32))
    assert empty.times(torch.randn(5, 4)).tolist() == [[0.0] * 4] * 2
    layer = bag([0])
    layer(empty).sum().backward()
    RowAdam([layer]).step(0.1)


def test_the_gradient_of_the_touched_rows_is_that_of_the_dense_product() -> None:
    touched = TouchedColumns.of(sparse())
    assert touched.columns.tolist() == [0, 1, 3]
    rows = torch.randn(3, 4, dtype=torch.float32, requires_grad=True)
    (ours,) = torch.autograd.grad(weighted_sums(rows, touched).square().sum(), rows)
    product = torch.from_numpy(CELLS[:, [0, 1, 3]]) @ rows
    (expected,) = torch.autograd.grad(product.square().sum(), rows)
    torch.testing.assert_close(ours, expected)


def test_each_seed_sums_rows_of_its_own_table() -> None:
    layer = bag([0, 1])
    out = layer(sparse().take(torch.tensor([[0, 2], [2, 1]])))
    expected = [
        torch.from_numpy(CELLS[[0, 2]]) @ layer.table[0],
        torch.from_numpy(CELLS[[2, 1]]) @ layer.table[1],
    ]
    torch.testing.assert_close(out.squeeze(2), torch.stack(expected))
    torch.testing.assert_close(layer.eval()(sparse().take(torch.tensor([[0, 2], [2, 1]]))), out)


def test_only_touched_rows_move_as_a_loop_over_them_says() -> None:
    layer, rate = bag([0, 1]), 0.01
    expected, moments = layer.table.detach().clone(), torch.zeros(2, 5)
    optimizer = RowAdam([layer])
    for step, order in enumerate([[[0], [2]], [[2], [2]], [[0], [1]]], start=1):
        batch = sparse().take(torch.tensor(order))
        (layer(batch) ** 2).sum().backward()
        x = dense(batch)
        for seed in range(2):
            gradient = torch.outer(x[seed], 2 * x[seed] @ expected[seed])
            for column in x[seed].nonzero().flatten().tolist():
                square = gradient[column].square().mean()
                moments[seed, column] = 0.999 * moments[seed, column] + 0.001 * square
                size = (moments[seed, column] / (1 - 0.999**step)).sqrt() + 1e-8
                expected[seed, column] -= rate * gradient[column] / size
        optimizer.step(rate)
    torch.testing.assert_close(layer.table.data, expected)


def test_a_bag_takes_no_part_in_dense_gradients() -> None:
    layer = bag([0])
    layer(sparse()).sum().backward()
    assert layer.table.grad is None
