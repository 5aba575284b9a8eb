"""Read models' answers once, cut them into splits by prompt, and keep them beside the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.answer_stage import AnswerStage, ModelNumbers
from fusionapp.application.services.gathered_answers import AnswerPart, GatheredAnswers, cut_parts
from fusionapp.application.services.price_answers import add_costs, expect_costs
from fusionapp.domain.columns import shorten
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.prices import Prices
from fusionapp.domain.routing.splitting import Leak, PromptSplitter, find_leaks
from fusionapp.domain.splits import drawn_splits, order_splits

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]

ANSWERS, BATTLES, MODELS = "answers", "battles", "models.json"
"""Tables of scores, tables of battles, and what is known of each model."""


@attrs.frozen
class SplitAnswers:
    """What was kept of one split.

    Attributes:
        prompts: distinct ones, letter by letter.
        scores: answers with a score, each prompt and model once.
        battles: battles.
        repeated: answers of a model to a prompt that were given again; their scores were averaged.
        dropped: prompts left out because another split has them, too.
    """

    prompts: int
    scores: int
    battles: int
    repeated: int
    dropped: int


@attrs.frozen
class AnswersRead:
    """What was read.

    Attributes:
        splits: by name, in the order train, validation, test, others.
        drawn: splits that were taken out of train here.
        models: names, in the order of columns.
        comparisons: by split and model: other models' answers that its own can be compared with, prompt by prompt.
        without_price: models whose costs stay unknown where the data has none; empty where no prices were given.
    """

    splits: Mapping[str, SplitAnswers]
    drawn: Sequence[str]
    models: Sequence[str]
    comparisons: Mapping[str, Mapping[str, int]]
    without_price: Sequence[str]


@attrs.frozen
class ReadAnswers:
    """Spools prompts of each split, and writes ``answers/SPLIT``, ``battles/SPLIT`` and ``models.json``.

    Prompts pass through the spool, so that memory holds numbers alone.

    Attributes:
        source: where the answers come from.
        spool: keeps each prompt once, its task as its label, and its id: {"id"}.
        runs: keeps the tables. ``answers/SPLIT.parquet`` has quality, cost, latency and tokens, (prompts, models)
            each, and prompt_tokens, (prompts,); ``battles/SPLIT.parquet`` has prompt, first, second and outcome.
            A table that no split has something for is left out.
    """

    source: AnswerSource
    spool: Spool
    runs: RunStore

    def __call__(
        self,
        *,
        limit: int | None = None,
        test_fraction: float = 0.2,
        validation_fraction: float = 0.1,
        seed: int = 0,
        drop_duplicates: bool = False,
        prices: Prices | None = None,
        answer_tokens: float | None = None,
    ) -> AnswersRead:
        """Read every split.

        Where the source has train alone, test and validation are drawn from it by each prompt's hash; where only
        validation is missing, that is.

        Args:
            limit: only the first rows of each split.
            test_fraction: share of train's prompts that become test.
            validation_fraction: share of train's prompts that become validation.
            seed: of the hash.
            drop_duplicates: leave prompts of train out that stand in another split, too, and prompts of validation
                that stand in a split other than train, instead of refusing them.
            prices: of models; they say what an answer costs where the data does not.
            answer_tokens: how long the answers of models are whose tokens the data does not hold.

        Raises:
            DatasetError: prompts that stand in two splits, a split without rows, or as the source says.
            UsageError: fractions or models that leave nothing to do.
        """
        given = list(self.source.splits())
        drawn = drawn_splits(given)
        splitter = PromptSplitter(test_fraction if "test" in drawn else 0.0, validation_fraction, seed)
        numbers = ModelNumbers()
        with ExitStack() as cleanup:
            stages = {}
            for split in given:
                logger.info("%s: reading answers of %s", split, self.source.describe(split))
                stages[split] = AnswerStage.write(self.spool, self.source, split, limit, numbers, splitter)
                cleanup.callback(self.spool.remove, stages[split].name)
            leaks = find_leaks({split: stage.keys for split, stage in stages.items()})
            if leaks and not drop_duplicates:
                raise self._shared(stages, leaks)
            parts = cut_parts(stages, leaks, drawn)
            models = self._models(numbers, given)
            gathered = {split: part.gather(*models) for split, part in parts.items()}
            for split, part in parts.items():
                self.spool.write(split, part.examples())
        costs = expect_costs(gathered, models[0], prices, answer_tokens)
        priced = add_costs(gathered, costs)
        counts = {split: priced[split].comparisons() for split in order_splits(priced)}
        held = self._write(priced)
        self.runs.write_document(
            MODELS, {"models": costs.to_json(), "comparisons": counts, "tables": list(held)}
        )
        return AnswersRead(
            {split: _count(parts[split], priced[split]) for split in counts},
            drawn,
            models[0],
            counts,
            () if prices is None else prices.missing(models[0]),
        )

    def _models(self, numbers: ModelNumbers, given: Sequence[str]) -> tuple[tuple[str, ...], Rows]:
        models, places = numbers.ordered()
        if len(models) < 2:
            raise UsageError(
                f"{self.source.describe(given[0])}: there is one model, {models[0]!r}; give answers of two or more"
            )
        return models, places

    def _shared(self, stages: Mapping[str, AnswerStage], leaks: Sequence[Leak]) -> DatasetError:
        """The error for prompts that stand in two splits; names some."""
        told = []
        for leak in leaks:
            prompts, row = stages[leak.split].prompts, int(leak.rows[0])
            (text,) = prompts.texts(row, row + 1)
            told.append(
                f"{self.source.describe(leak.split)}: {len(leak.rows)} rows of {leak.split} hold prompts that "
                f"stand in {leak.other}, too, but for case, spaces or punctuation; the first is row {row} "
                f"(counted from 0): {shorten(text)}"
            )
        return DatasetError(
            "\n".join(told) + "\nremove them, or let them be left out: dataset.drop_duplicates = true"
        )

    def _write(self, gathered: Mapping[str, GatheredAnswers]) -> Sequence[str]:
        """The tables of each folder for which some split has rows; tells which folders these are."""
        held = []
        if any(one.scored for one in gathered.values()):
            held.append(ANSWERS)
        if any(len(one.battles.outcome) for one in gathered.values()):
            held.append(BATTLES)
        for folder in (ANSWERS, BATTLES):
            names = {split: f"{folder}/{split}.parquet" for split in gathered if folder in held}
            for split, name in names.items():
                one = gathered[split]
                self.runs.write_table(
                    name, one.score_columns() if folder == ANSWERS else one.battle_columns()
                )
            self.runs.prune(folder, set(names.values()))
        return held


def _count(part: AnswerPart, one: GatheredAnswers) -> SplitAnswers:
    return SplitAnswers(
        prompts=len(part.firsts),
        scores=int(np.isfinite(one.scores.quality).sum()),
        battles=len(one.battles.outcome),
        repeated=one.repeated,
        dropped=part.dropped,
    )
