"""From token states to one embedding a text, whichever side is padded and whatever stands in the padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fusionapp.domain.arrays import A, Shaped, namespace
from fusionapp.domain.errors import UsageError

PoolingKind = Literal["mean", "cls", "last"]


def mean_pool(states: A, mask: Shaped) -> A:
    """Average the real tokens.

    Args:
        states: (..., tokens, dim) floating. The sum runs in its dtype: give float32, not bfloat16.
        mask: (..., tokens), nonzero where a token is real; leading dimensions broadcast.

    Returns:
        (..., dim); zeros for a text without a real token. Padding never counts, not even NaN.
    """
    xp, real = _real(states, mask)
    # `where`, not a product: 0 * NaN is NaN.
    total: A = xp.sum(xp.where(real[..., None], states, xp.zeros_like(states)), axis=-2)
    count: A = xp.astype(xp.sum(xp.astype(real, xp.int32), axis=-1, keepdims=True), states.dtype)
    return total / xp.clip(count, min=1.0)  # type: ignore[no-any-return]


def cls_pool(states: A, mask: Shaped) -> A:
    """The first real token of each text; shapes as in `mean_pool`."""
    xp, real = _real(states, mask)
    return _pick(states, real, xp.argmax(xp.astype(real, xp.int32), axis=-1))


def last_pool(states: A, mask: Shaped) -> A:
    """The last real token of each text, under left padding too; shapes as in `mean_pool`."""
    xp, real = _real(states, mask)
    from_end = xp.argmax(xp.astype(xp.flip(real, axis=-1), xp.int32), axis=-1)
    return _pick(states, real, real.shape[-1] - 1 - from_end)


def pool(kind: PoolingKind, states: A, mask: Shaped) -> A:
    """Pool by name.

    Raises:
        UsageError: another name.
    """
    pools: dict[str, Callable[[A, Shaped], A]] = {"mean": mean_pool, "cls": cls_pool, "last": last_pool}
    if kind not in pools:
        raise UsageError(f"pooling {kind!r} is unknown; use 'mean', 'cls' or 'last'")
    return pools[kind](states, mask)


def _real(states: A, mask: Shaped) -> tuple[Any, Any]:
    """The namespace, and the mask as (..., tokens) bool over the states' leading dimensions."""
    xp = namespace(states, mask)
    return xp, xp.broadcast_to(xp.astype(mask, xp.bool), tuple(states.shape[:-1]))


def _pick(states: A, real: Any, index: Any) -> A:
    """Token `index` (...,) of each text, zeros where no token is real."""
    xp = namespace(states)
    token = xp.take_along_axis(states, index[..., None, None], axis=-2)[..., 0, :]
    picked: A = xp.where(xp.any(real, axis=-1, keepdims=True), token, xp.zeros_like(token))
    return picked
