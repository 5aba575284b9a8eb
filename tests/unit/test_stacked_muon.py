"""Stacked Muon against torch's, one matrix at a time."""

from __future__ import annotations

import pytest
import torch

from fusionapp.adapters.torch_shared.muon import StackedMuon, orthogonalize


@pytest.mark.parametrize("shape", [(3, 8, 20), (3, 20, 8), (2, 6, 6)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalize(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_each_matrix_of_a_stack_is_orthogonalised_on_its_own() -> None:
    stack = torch.randn(3, 8, 5)
    stack[1] = 0
    alone = torch.cat([orthogonalize(stack[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(orthogonalize(stack), alone)
    assert not orthogonalize(stack)[1].any()


def test_a_stack_steps_as_torchs_muon_steps_each_matrix() -> None:
    start, gradients = torch.randn(2, 8, 5), torch.randn(4, 2, 8, 5)
    stacked = torch.nn.Parameter(start.clone())
    single = [torch.nn.Parameter(matrix.clone()) for matrix in start]
    ours = StackedMuon([stacked], lr=0.01, weight_decay=0.1)
    theirs = torch.optim.Muon(single, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        stacked.grad = gradient.clone()
        for parameter, part in zip(single, gradient, strict=True):
            parameter.grad = part.clone()
        ours.step()
        theirs.step()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    # torch iterates in bfloat16.
    torch.testing.assert_close(stacked.data, torch.stack([p.data for p in single]), atol=2e-3, rtol=0)
