"""Normalisations, each finite and with a finite gradient at zero."""

from __future__ import annotations

from typing import Literal

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError

PowerConvention = Literal["code", "paper"]


def l2_normalize(x: A, axis: int = -1) -> A:
    """Scale vectors to Euclidean length 1; a zero vector stays zero and gets gradient 0.

    A vector is divided by its largest magnitude before it is squared, so that neither 1e-30 (products of unit
    vectors vanish fast) nor 1e30 under- or overflows. Both branches of each `where` are finite: a NaN in the
    branch not taken would still reach the gradient.

    Args:
        x: (..., dim) floating; dim at least 1.
        axis: the axis whose vectors are scaled.

    Returns:
        The shape and dtype of x. A vector whose largest magnitude is subnormal counts as zero.
    """
    xp = namespace(x)
    peak = xp.max(xp.abs(x), axis=axis, keepdims=True)
    zero = peak < xp.finfo(x.dtype).smallest_normal
    one = xp.ones_like(peak)
    scaled = x / xp.where(zero, one, peak)
    squared = xp.sum(scaled * scaled, axis=axis, keepdims=True)
    unit: A = xp.where(zero, xp.zeros_like(x), scaled / xp.sqrt(xp.where(zero, one, squared)))
    return unit


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
