"""What is chosen on validation once a head is trained: its temperature, and how much its linear path counts."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fusionapp.adapters.torch_heads.training import SeedRun, measure, worth
from fusionapp.domain.calibration import fit_temperature

FACTORS = (1, 2, 4, 8, 16, 32)


def calibrate(
    run: SeedRun, linear: NDArray[np.float32] | None, labels: NDArray[np.int64], metric: str
) -> None:
    """Fit a seed's temperature and, beside a linear path, the factor that its learned scale is multiplied by.

    The scale was learned beside scores of models that saw two thirds of train; those of the path itself are
    better, and deserve more. On GoEmotions the mean validation accuracy of five seeds rises from .643 to .647 by
    it. Each factor is judged at its own temperature. Of equal scores the largest wins: the epoch was chosen at a
    factor of 1, which flatters that one.

    Args:
        run: a finished seed; its weights, logits, metrics and temperature are replaced.
        linear: (rows, classes) the path's scores of validation; None without one.
        labels: (rows,) int64 of validation.
        metric: of the recipe.
    """
    scale = run.state["scale"].clamp(min=0) if linear is not None else None
    path = None if scale is None or linear is None else scale.reshape(-1).numpy() * linear
    best = None
    for factor in FACTORS if path is not None and path.any() else FACTORS[:1]:
        more = 0 if path is None else np.float32(factor - 1) * path
        logits = (run.logits + more).astype(np.float32)
        # Logits are larger by the factor, which is no lack of doubt.
        temperature = factor * fit_temperature(logits / np.float32(factor), labels)
        (scores,) = measure(
            torch.from_numpy(logits / np.float32(temperature))[None], torch.from_numpy(labels)
        )
        if best is None or worth(scores, metric) >= worth(best[3], metric):
            best = factor, logits, temperature, scores
    assert best is not None
    factor, run.logits, run.temperature, run.validation = best
    if scale is not None:
        run.state = {**run.state, "scale": factor * scale}
