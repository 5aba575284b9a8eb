"""One split's answers, from rows one by one to matrices over its distinct prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.run_store import Column
from fusionapp.application.services.answer_stage import AnswerStage
from fusionapp.application.services.pair_stage import examples_of
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.examples import Example
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.comparisons import comparisons
from fusionapp.domain.routing.gathering import count_repeats, mean_by_cell
from fusionapp.domain.routing.splitting import Leak
from fusionapp.domain.splits import STANDARD_SPLITS

Rows = NDArray[np.int64]


@attrs.frozen(eq=False)
class GatheredAnswers:
    """What is known of one split's prompts.

    Attributes:
        scores: of (prompts, models).
        tokens: (prompts, models) of answers; NaN where unknown.
        prompt_tokens: (prompts,) given or estimated.
        battles: in the order of the input; a battle that was given twice counts twice.
        repeated: scores that were given again and averaged.
    """

    scores: ScoreMatrix
    tokens: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    battles: Battles
    repeated: int

    @property
    def scored(self) -> bool:
        """Whether any score or cost is known."""
        return bool(np.isfinite(self.scores.quality).any() or np.isfinite(self.scores.cost).any())

    def comparisons(self) -> Mapping[str, int]:
        """By model: battles it fought, and answers of others to prompts on which it has a score itself."""
        known = np.isfinite(self.scores.quality)
        others = (known * (known.sum(axis=1, keepdims=True) - 1)).sum(axis=0)
        counts = others + comparisons(self.battles)
        return dict(zip(self.scores.models, counts.tolist(), strict=True))

    def score_columns(self) -> Mapping[str, Column]:
        """The table ``answers/SPLIT``."""
        return {
            "quality": self.scores.quality,
            "cost": self.scores.cost,
            "latency": self.scores.latency,
            "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens,
        }

    def battle_columns(self) -> Mapping[str, Column]:
        """The table ``battles/SPLIT``."""
        return {
            "prompt": self.battles.prompts,
            "first": self.battles.first,
            "second": self.battles.second,
            "outcome": self.battles.outcome,
        }


@attrs.frozen(eq=False)
class AnswerPart:
    """Distinct prompts of one split among the staged rows.

    Attributes:
        stage: where they were staged.
        firsts: (prompts,) the first row of each, ascending.
        dropped: prompts left out because another split has them, too.
    """

    stage: AnswerStage
    firsts: Rows
    dropped: int

    def examples(self) -> Iterator[Example]:
        """The prompts as they are to be spooled; those of repeated ones as they first came."""
        return examples_of(self.stage.prompts, self.firsts)

    def gather(self, models: Sequence[str], places: Rows) -> GatheredAnswers:
        """What was said of the prompts.

        Args:
            models: names in the order of columns.
            places: the column of each model number of the stage.
        """
        stage = self.stage
        prompt_of = np.full(len(stage.firsts), -1, dtype=np.int64)
        prompt_of[stage.numbers[self.firsts]] = np.arange(len(self.firsts))
        row_of = prompt_of[stage.numbers]
        mine = row_of[stage.scores.rows] >= 0
        rows, columns = row_of[stage.scores.rows[mine]], places[stage.scores.models[mine]]
        shape = (len(self.firsts), len(models))
        quality, cost, latency, tokens = (
            mean_by_cell(rows, columns, values, shape) for values in stage.scores.values[mine].T
        )
        fought = row_of[stage.battles.rows]
        fighters = places[stage.battles.fighters[fought >= 0]]
        return GatheredAnswers(
            ScoreMatrix(models, quality, cost, latency),
            tokens,
            stage.prompt_tokens[self.firsts],
            Battles(
                models,
                fought[fought >= 0],
                fighters[:, 0],
                fighters[:, 1],
                stage.battles.outcomes[fought >= 0],
            ),
            count_repeats(rows, columns, len(models)),
        )


def cut_parts(
    stages: Mapping[str, AnswerStage], leaks: Sequence[Leak], drawn: Sequence[str]
) -> Mapping[str, AnswerPart]:
    """The splits' distinct prompts: without those that leak, and train cut by the prompts' hashes.

    Raises:
        DatasetError: all prompts of a split leak.
        UsageError: a split that is to be drawn gets no prompt.
    """
    parts = {}
    for split, stage in stages.items():
        leaking = [leak.rows for leak in leaks if leak.split == split]
        rows = np.unique(np.concatenate(leaking)) if leaking else np.empty(0, dtype=np.int64)
        kept = stage.firsts[~np.isin(stage.firsts, rows)]
        dropped = len(stage.firsts) - len(kept)
        if not len(kept):
            raise DatasetError(
                f"{split}: all {dropped} prompts stand in other splits, too; none would be left"
            )
        if split != "train" or not drawn:
            parts[split] = AnswerPart(stage, kept, dropped)
            continue
        for name in ("train", *drawn):
            chosen = kept[stage.drawn[kept] == STANDARD_SPLITS.index(name)]
            parts[name] = AnswerPart(stage, chosen, dropped if name == "train" else 0)
    return _filled(parts, drawn)


def _filled(parts: dict[str, AnswerPart], drawn: Sequence[str]) -> Mapping[str, AnswerPart]:
    for name in ("train", *drawn) if drawn else ():
        if not len(parts[name].firsts):
            raise UsageError(
                f"{name}: the hash draws none of the {sum(len(parts[one].firsts) for one in ('train', *drawn))} "
                "prompts; name the splits' own files, or take another fraction or seed"
            )
    return parts
