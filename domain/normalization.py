"""Normalisations, each finite and with a finite gradient at zero."""

from __future__ import annotations

from typing import Literal

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError

PowerConvention = Literal["code", "paper"]


def l2_normalize(x: A, axis: int = -1) -> A:
    """Scale vectors to Euclidean length 1; a zero vector stays zero and gets gradient 0.

    The length of a zero vector is replaced by infinity before the division: value and gradient are then 0 by
    arithmetic, in both branches of the `where` (a NaN in the branch not taken would still reach the gradient).

    Args:
        x: (..., dim) floating. float16 and bfloat16 are computed in float32.
        axis: the axis whose vectors are scaled.

    Returns:
        The shape and dtype of x. A vector whose squared length is subnormal (shorter than 1e-19 in float32)
        counts as zero; one whose squared length overflows (longer than 1e19) gives zeros too.
    """
    xp = namespace(x)
    half = xp.finfo(x.dtype).bits < 32
    wide = xp.astype(x, xp.float32) if half else x
    squared = xp.sum(wide * wide, axis=axis, keepdims=True)
    zero = squared < xp.finfo(wide.dtype).smallest_normal
    unit: A = wide / xp.sqrt(xp.where(zero, xp.full_like(squared, xp.inf), squared))
    return xp.astype(unit, x.dtype) if half else unit


def power_normalize(x: A, sigma: float = 1.0, convention: PowerConvention = "code") -> A:
    """Squash into (-1, 1), elementwise, as LLMEmbed (Liu et al., ACL 2024) does to co-occurrences.

    Args:
        x: (...,) floating.
        sigma: slope, above 0.
        convention: "code" is tanh(sigma x / 2) = 2 sigmoid(sigma x) - 1, what the published code computes;
            "paper" is tanh(2 sigma x), what its write-up says.

    Raises:
        UsageError: another convention.
    """
    slopes = {"code": sigma / 2, "paper": 2 * sigma}
    if convention not in slopes:
        raise UsageError(f"power normalisation {convention!r} is unknown; use 'code' or 'paper'")
    squashed: A = namespace(x).tanh(x * slopes[convention])
    return squashed


def softmax(x: A, axis: int = -1) -> A:
    """Exponentials that sum to 1 along an axis, shifted by the maximum so that none overflows."""
    xp = namespace(x)
    raised = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    share: A = raised / xp.sum(raised, axis=axis, keepdims=True)
    return share


def log_softmax(x: A, axis: int = -1) -> A:
    """Logarithm of `softmax` (nats), finite where a probability underflows."""
    xp = namespace(x)
    shifted = x - xp.max(x, axis=axis, keepdims=True)
    log_share: A = shifted - xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
    return log_share
