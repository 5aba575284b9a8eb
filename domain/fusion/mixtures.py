"""Fusions that weigh sources or experts by learned logits."""

from __future__ import annotations

from math import sqrt

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.normalization import softmax


def mixture_of_experts(outputs: A, gate_logits: A) -> A:
    """Expert outputs averaged by the gate's softmax (Jacobs et al. 1991; every expert takes part).

    Args:
        outputs: (..., experts, dim).
        gate_logits: (..., experts).

    Returns:
        (..., dim).
    """
    # A row vector times a matrix: no (..., experts, dim) product is kept for the gradient.
    mixed: A = (softmax(gate_logits)[..., None, :] @ outputs)[..., 0, :]
    return mixed


def late_fusion(logits: A, weight_logits: A) -> A:
    """Class logits of several classifiers averaged by softmax weights: a mixture whose gate sees no row.

    Equal weights make it the geometric mean of the classifiers' probabilities, the "product rule" of Kittler
    et al. (1998) tempered by the number of sources.

    Args:
        logits: (..., sources, classes).
        weight_logits: (..., sources), broadcast over the leading dimensions.

    Returns:
        (..., classes).
    """
    return mixture_of_experts(logits, weight_logits)


def gated_fusion(hidden: A, gate_logits: A) -> A:
    """Gated multimodal unit (Arevalo et al. 2017) over any number of sources.

    Each dimension draws its own weights over the sources. With two sources the softmax is the paper's
    z * h1 + (1 - z) * h2, z = sigmoid(difference of the logits).

    Args:
        hidden: (..., sources, dim), each source's tanh(W_i x_i).
        gate_logits: (..., sources, dim).

    Returns:
        (..., dim).
    """
    xp = namespace(hidden, gate_logits)
    fused: A = xp.sum(softmax(gate_logits, axis=-2) * hidden, axis=-2)
    return fused


def attention_fusion(queries: A, keys: A, values: A) -> A:
    """Scaled dot-product attention over views (Vaswani et al. 2017): softmax(Q K^T / sqrt(dim)) V.

    Several heads are one more leading dimension: (..., heads, queries, dim / heads) and so on. A learned
    query that a batch shares may have size 1 in the dimensions that it does not depend on.

    Args:
        queries: (..., queries, dim).
        keys: (..., views, dim).
        values: (..., views, value_dim).

    Returns:
        (..., queries, value_dim).
    """
    attended: A = attention_weights(queries, keys) @ values
    return attended


def attention_weights(queries: A, keys: A) -> A:
    """The weights of `attention_fusion`, (..., queries, views), each query's summing to 1."""
    xp = namespace(queries, keys)
    weights: A = softmax((queries @ xp.matrix_transpose(keys)) / sqrt(keys.shape[-1]))
    return weights
