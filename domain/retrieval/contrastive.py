"""Contrastive losses over a pool of queries and documents, as functions of their matrix of similarities.

In a pool every document may stand as a negative of every query but its own; which ones do is the caller's mask
(`false_negatives`). Columns beyond the pairs' documents are hard negatives.
"""

from __future__ import annotations

from typing import Literal

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import l2_normalize, log_softmax

Similarity = Literal["cosine", "dot"]
Directions = Literal["both", "query_to_document", "document_to_query"]


def similarities(queries: A, documents: A, kind: Similarity = "cosine") -> A:
    """How alike each query and each document are.

    Args:
        queries: (queries, dim) floating.
        documents: (documents, dim) of the same dtype.
        kind: the cosine, which for a zero vector is 0 with gradient 0; or the inner product.

    Returns:
        (queries, documents).

    Raises:
        UsageError: another kind.
    """
    if kind not in ("cosine", "dot"):
        raise UsageError(f"similarity {kind!r} is unknown; use 'cosine' or 'dot'")
    if kind == "cosine":
        queries, documents = l2_normalize(queries), l2_normalize(documents)
    scores: A = queries @ namespace(documents).matrix_transpose(documents)
    return scores


def truncated(vectors: A, dim: int) -> A:
    """The first `dim` numbers of each vector, at length 1 again (Kusupati et al. 2022).

    Matryoshka training sums a loss over several such dims; a zero part stays zero.

    Args:
        vectors: (..., width) floating.
        dim: at most width.

    Returns:
        (..., dim).

    Raises:
        UsageError: the vectors are no longer than 0 or shorter than dim.
    """
    width = vectors.shape[-1]
    if not 1 <= dim <= width:
        raise UsageError(f"vectors of {width} numbers cannot be cut to {dim}; use 1 to {width}")
    cut: A = vectors[..., :dim]
    return l2_normalize(cut)


def info_nce(
    scores: A, positives: A, allowed: A, temperature: A | float = 1.0, directions: Directions = "both"
) -> A:
    """Mean negative log-share of each pair's similarity in a softmax over its pool, in nats.

    The softmax over documents is van den Oord et al. (2018), with negatives from the batch as in Henderson et
    al. (2017); both directions are averaged as in Radford et al. (2021). From documents to queries, each pair's
    document is held against the queries of the pool that may be its negatives: those whose rows allow its
    column. Hard negatives are no pair's document and count in the other direction alone.

    Args:
        scores: (queries, documents) similarities. float16 and bfloat16 are computed in float32.
        positives: (queries,) int64, the column of each query's document.
        allowed: (queries, documents) bool; a False cell is no negative. A query's own document always counts.
        temperature: scores are divided by it, above 0; an array of no dimensions where it is trained.
        directions: whom the softmax runs over: the pool's documents, its queries, or the mean of both.

    Returns:
        A scalar, at least 0; exactly 0 for a query without negatives.

    Raises:
        UsageError: another direction, or shapes that do not match.
    """
    if directions not in ("both", "query_to_document", "document_to_query"):
        raise UsageError(
            f"direction {directions!r} is unknown; use 'both', 'query_to_document' or 'document_to_query'"
        )
    scores, own = _checked(scores, positives, allowed)
    logits = scores / temperature
    losses = []
    if directions != "document_to_query":
        losses.append(_cross_entropy(logits, namespace(own).logical_or(own, allowed), positives))
    if directions != "query_to_document":
        losses.append(_documents_to_queries(logits, positives, allowed))
    loss: A = sum(losses[1:], losses[0]) / len(losses)
    return loss


def triplet_loss(scores: A, positives: A, allowed: A, margin: float) -> A:
    """Mean of max(0, margin - s(q, d+) + s(q, d-)) over each query's negatives (Schroff et al. 2015).

    Arguments are those of `info_nce`; each allowed cell but the query's own document makes one triplet. A pool
    without any gives 0.
    """
    scores, own = _checked(scores, positives, allowed)
    xp = namespace(scores)
    positive = xp.take_along_axis(scores, positives[:, None], axis=1)
    loss: A = _mean_where(xp.clip(scores - positive + margin, min=0.0), _others(allowed, own))
    return loss


def margin_loss(scores: A, positives: A, allowed: A, margin: float) -> A:
    """The contrastive loss of Hadsell et al. (2006) with the distance D = 1 - s, on each cell's own similarity.

    A pair loses D² / 2, a negative max(0, margin - D)² / 2, nothing once its similarity is below 1 - margin.
    The two kinds' means are added: a pool has many negatives for each pair, which would drown in one mean.

    Arguments are those of `info_nce`; similarities should be cosines, which D needs to be a distance.
    """
    scores, own = _checked(scores, positives, allowed)
    distance = scores * -1.0 + 1.0
    near = namespace(scores).clip(distance * -1.0 + margin, min=0.0)
    pull = _mean_where(distance * distance, own)
    push = _mean_where(near * near, _others(allowed, own))
    loss: A = (pull + push) / 2
    return loss


def _checked(scores: A, positives: A, allowed: A) -> tuple[A, A]:
    """The scores in at least float32, and which cells are a query with its own document."""
    xp = namespace(scores, positives, allowed)
    shape = tuple(scores.shape)
    if len(shape) != 2 or tuple(allowed.shape) != shape or tuple(positives.shape) != shape[:1]:
        raise UsageError(
            f"contrastive loss: scores {shape}, positives {tuple(positives.shape)} and allowed "
            f"{tuple(allowed.shape)}; give (queries, documents), (queries,) and (queries, documents)"
        )
    own = xp.arange(shape[1], device=scores.device)[None, :] == positives[:, None]
    if xp.finfo(scores.dtype).bits < 32:
        scores = xp.astype(scores, xp.float32)
    return scores, own


def _others(allowed: A, own: A) -> A:
    xp = namespace(allowed, own)
    negatives: A = xp.logical_and(allowed, xp.logical_not(own))
    return negatives


def _cross_entropy(logits: A, counted: A, targets: A) -> A:
    """Mean over rows of -ln of the target's share among the counted columns."""
    xp = namespace(logits)
    log_p = log_softmax(xp.where(counted, logits, xp.full_like(logits, -xp.inf)))
    loss: A = xp.mean(xp.take_along_axis(log_p, targets[:, None], axis=1)) * -1.0
    return loss


def _documents_to_queries(logits: A, positives: A, allowed: A) -> A:
    xp = namespace(logits)
    pairs = xp.arange(positives.shape[0], device=logits.device)
    asked = xp.matrix_transpose(xp.take(logits, positives, axis=1))
    counted = xp.matrix_transpose(xp.take(allowed, positives, axis=1)) | (pairs[:, None] == pairs[None, :])
    loss: A = _cross_entropy(asked, counted, pairs)
    return loss


def _mean_where(values: A, chosen: A) -> A:
    """Mean over the chosen cells; 0, with gradient 0, where there is none."""
    xp = namespace(values, chosen)
    total = xp.sum(xp.where(chosen, values, xp.zeros_like(values)))
    mean: A = total / xp.clip(xp.sum(xp.astype(chosen, values.dtype)), min=1.0)
    return mean
