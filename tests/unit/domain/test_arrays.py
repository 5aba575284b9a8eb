from __future__ import annotations

import numpy as np
import pytest
import torch

from fusionapp.domain.arrays import broadcast_leading, namespace
from fusionapp.domain.errors import UsageError


def test_numpy_and_torch_do_not_mix() -> None:
    with pytest.raises(TypeError):
        namespace(np.ones(2), torch.ones(2))


def test_a_shared_source_is_repeated_for_every_seed() -> None:
    shared, stacked = broadcast_leading([np.ones((4, 2)), np.ones((5, 4, 3))])
    assert shared.shape == (5, 4, 2)
    assert stacked.shape == (5, 4, 3)


def test_an_empty_batch_broadcasts() -> None:
    one, none = broadcast_leading([np.ones((1, 2)), np.ones((0, 3))])
    assert one.shape == (0, 2)
    assert none.shape == (0, 3)


def test_rows_that_differ_are_refused_with_their_shapes() -> None:
    with pytest.raises(UsageError, match=r"\(4, 2\), \(3, 2\)"):
        broadcast_leading([np.ones((4, 2)), np.ones((3, 2))])
