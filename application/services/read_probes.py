"""What a new model made of some prompts, read from a source of answers."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.routing.rows import AnswerRow, ScoreRow

PROBES = "probes"
"""The source's one split."""


@attrs.frozen(eq=False)
class Probes:
    """Prompts that a new model answered.

    Attributes:
        texts: distinct, in the order in which they came.
        quality: (probes,) in [0, 1]; the mean where a prompt was answered several times.
        answer_tokens: of its answers on average; NaN where unknown.
        mean_cost: USD of its answers on average; NaN where unknown.
    """

    texts: Sequence[str]
    quality: NDArray[np.float64]
    answer_tokens: float
    mean_cost: float


def read_probes(source: AnswerSource, model: str) -> Probes:
    """A model's answers; what a file says of other models, and prompts that it did not answer, are left out.

    Args:
        source: its split `PROBES` is read.
        model: its name there.

    Raises:
        DatasetError: no row, no score of the model, battles, or as the source says.
    """
    where = source.describe(PROBES)
    qualities: dict[str, list[float]] = {}
    tokens, costs = [], []
    others: dict[str, None] = {}
    for number, row in enumerate(source.read(PROBES)):
        scored = _scored(row, number, where)
        others |= dict.fromkeys(scored.scores)
        if model in scored.scores:
            qualities.setdefault(scored.prompt, []).append(scored.scores[model])
            tokens.append(scored.tokens.get(model, np.nan))
            costs.append(scored.costs.get(model, np.nan))
    if not others:
        raise DatasetError(f"{where}: holds no row; give prompts with the qualities of {model!r}")
    if not qualities:
        raise DatasetError(
            f"{where}: no score of {model!r}, but of {', '.join(others)}; use its name there, or name the column "
            "of its scores"
        )
    means = np.array([np.mean(each) for each in qualities.values()], dtype=np.float64)
    return Probes(list(qualities), means, _mean(tokens), _mean(costs))


def _scored(row: AnswerRow, number: int, where: str) -> ScoreRow:
    if isinstance(row, ScoreRow):
        return row
    raise DatasetError(
        f"{where}: row {number} (counted from 0) is a battle of {row.model_a!r} and {row.model_b!r}, which says "
        "who was better, and not how good; give scores"
    )


def _mean(values: Sequence[float]) -> float:
    known = np.array(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
