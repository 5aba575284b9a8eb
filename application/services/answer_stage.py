"""The answers of a split on their way: prompts in the spool, numbers in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.application.services.pair_stage import PackedDigests
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example
from fusionapp.domain.repeats import number_rows
from fusionapp.domain.routing.prices import estimate_tokens
from fusionapp.domain.routing.rows import AnswerRow, BattleRow, ScoreRow
from fusionapp.domain.routing.splitting import PromptSplitter, prompt_key
from fusionapp.domain.splits import STANDARD_SPLITS

Rows = NDArray[np.int64]


class ModelNumbers:
    """Models numbered as they appear, over all splits."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, model: str) -> int:
        """The model's number; a new one where it is new."""
        return self._numbers.setdefault(model, len(self._numbers))

    def ordered(self) -> tuple[tuple[str, ...], Rows]:
        """Names in alphabetical order, whatever the order of the input, and the place of each number in it."""
        names = tuple(sorted(self._numbers))
        places = {name: place for place, name in enumerate(names)}
        return names, np.array([places[name] for name in self._numbers], dtype=np.int64)


@attrs.frozen(eq=False)
class StagedScores:
    """Scores one by one.

    Attributes:
        rows: (scores,) the staged row of each.
        models: (scores,) numbers of models.
        values: (scores, 4) float64 quality, cost, latency and tokens; NaN where unknown.
    """

    rows: Rows
    models: Rows
    values: NDArray[np.float64]


@attrs.frozen(eq=False)
class StagedBattles:
    """Battles one by one.

    Attributes:
        rows: (battles,) the staged row of each.
        fighters: (battles, 2) numbers of models.
        outcomes: (battles,) int8.
    """

    rows: Rows
    fighters: Rows
    outcomes: NDArray[np.int8]


@attrs.define
class _Notes:
    """What is kept of each row but its prompt, in some 90 bytes and 48 more for each score."""

    models: ModelNumbers
    splitter: PromptSplitter
    texts: PackedDigests = attrs.field(factory=PackedDigests)
    keys: PackedDigests = attrs.field(factory=PackedDigests)
    splits: array[int] = attrs.field(factory=lambda: array("q"))
    prompt_tokens: array[float] = attrs.field(factory=lambda: array("d"))
    score_places: array[int] = attrs.field(factory=lambda: array("q"))
    scores: array[float] = attrs.field(factory=lambda: array("d"))
    battles: array[int] = attrs.field(factory=lambda: array("q"))

    def take(self, row: AnswerRow) -> Example:
        number = len(self.prompt_tokens)
        key = prompt_key(row.prompt)
        self.texts.add(row.prompt)
        self.keys.add(key)
        self.splits.append(STANDARD_SPLITS.index(self.splitter.split_of_key(key)))
        given = row.prompt_tokens
        self.prompt_tokens.append(estimate_tokens(row.prompt) if given is None else given)
        if isinstance(row, BattleRow):
            fighters = (self.models.number(row.model_a), self.models.number(row.model_b))
            self.battles.extend((number, *fighters, row.outcome))
        else:
            self._take_scores(row, number)
        return Example(row.prompt, row.task, {"id": row.id})

    def _take_scores(self, row: ScoreRow, number: int) -> None:
        nan = float("nan")
        for model, score in row.scores.items():
            self.score_places.extend((number, self.models.number(model)))
            others = (measured.get(model, nan) for measured in (row.costs, row.latencies, row.tokens))
            self.scores.extend((score, *others))


@attrs.frozen(eq=False)
class AnswerStage:
    """A split's rows, read once.

    Attributes:
        name: of the spooled split; whoever wrote the stage removes it.
        prompts: the prompt of every row, its task as label, its id.
        numbers: (rows,) alike for rows of one prompt, letter by letter; from 0 in the order of appearance.
        firsts: (distinct,) the first row of each number.
        keys: (rows, 2) digests that are alike for prompts that are nearly identical.
        drawn: (rows,) the place in `STANDARD_SPLITS` of the split that the prompt's hash draws.
        prompt_tokens: (rows,) tokens of each prompt, given or estimated.
        scores: scores one by one.
        battles: battles one by one.
    """

    name: str
    prompts: SpooledSplit
    numbers: Rows
    firsts: Rows
    keys: NDArray[np.uint64]
    drawn: Rows
    prompt_tokens: NDArray[np.float64]
    scores: StagedScores
    battles: StagedBattles

    @classmethod
    def write(
        cls,
        spool: Spool,
        source: AnswerSource,
        split: str,
        limit: int | None,
        models: ModelNumbers,
        splitter: PromptSplitter,
    ) -> AnswerStage:
        """Read a split.

        Raises:
            DatasetError: a split without rows, or as the source says.
        """
        notes = _Notes(models, splitter)
        name = f"{split}.answers"
        prompts = spool.write(name, _examples(notes, islice(source.read(split), limit)))
        if not prompts.rows:
            spool.remove(name)
            raise DatasetError(f"{source.describe(split)}: split {split!r} has no rows")
        numbers, firsts = number_rows(notes.texts.taken())
        places = np.array(notes.score_places, dtype=np.int64).reshape(-1, 2)
        battles = np.array(notes.battles, dtype=np.int64).reshape(-1, 4)
        return cls(
            name,
            prompts,
            numbers,
            firsts,
            notes.keys.taken(),
            np.array(notes.splits, dtype=np.int64),
            np.array(notes.prompt_tokens, dtype=np.float64),
            StagedScores(places[:, 0], places[:, 1], np.array(notes.scores, dtype=np.float64).reshape(-1, 4)),
            StagedBattles(battles[:, 0], battles[:, 1:3], battles[:, 3].astype(np.int8)),
        )


def _examples(notes: _Notes, rows: Iterator[AnswerRow]) -> Iterator[Example]:
    for row in rows:
        yield notes.take(row)
