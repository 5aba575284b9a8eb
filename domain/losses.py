"""Cross-entropy, with the semantics of torch.nn.functional.cross_entropy, over any stack of heads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.arrays import A, namespace
from fusionapp.domain.errors import UsageError
from fusionapp.domain.normalization import log_softmax


def cross_entropy(logits: A, labels: A, class_weights: A | None = None, label_smoothing: float = 0.0) -> A:
    """Mean negative log-likelihood of the labels, in nats.

    Row i loses (1 - s) w[y] (-ln p[y]) + s / classes * sum_c w[c] (-ln p[c]), s being the smoothing; the sum
    over rows is divided by the sum of w[y], so without weights it is the plain mean.

    Args:
        logits: (..., rows, classes), unnormalised: never probabilities.
        labels: (rows,) or (..., rows), int64 in [0, classes).
        class_weights: (classes,), at least 0; None weighs every class 1.
        label_smoothing: share of each target spread over all classes, in [0, 1).

    Returns:
        (...,): one loss for each leading index, so that stacked seeds stay apart; NaN where no row weighs.
    """
    xp = namespace(logits, labels)
    log_p = log_softmax(logits)
    targets = xp.broadcast_to(labels, tuple(log_p.shape[:-1]))
    loss = xp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0] * -(1 - label_smoothing)
    spread = label_smoothing / log_p.shape[-1]
    if class_weights is None:
        if label_smoothing:
            loss = loss - spread * xp.sum(log_p, axis=-1)
        mean: A = xp.mean(loss, axis=-1)
        return mean
    weights = xp.reshape(xp.take(class_weights, xp.reshape(targets, (-1,)), axis=0), targets.shape)
    loss = loss * weights
    if label_smoothing:
        loss = loss - spread * xp.sum(log_p * class_weights, axis=-1)
    weighted: A = xp.sum(loss, axis=-1) / xp.sum(weights, axis=-1)
    return weighted


def balanced_class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """rows / (classes * rows of the class): every class weighs the same in total (King and Zeng 2001).

    Args:
        labels: (rows,) in [0, classes).
        classes: how many classes there are.

    Returns:
        (classes,) float32; 0 for a class without rows, which has nothing to weigh.

    Raises:
        UsageError: a label outside [0, classes).
    """
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise UsageError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
    counts = np.bincount(labels, minlength=classes)
    weights = len(labels) / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)
