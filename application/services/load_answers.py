"""Answers that were read, loaded again beside the embeddings of their prompts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.router import AnsweredPrompts, Prompts
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.pair_stage import examples_of
from fusionapp.application.services.read_answers import ANSWERS, BATTLES, MODELS
from fusionapp.domain.embeddings import Json, take_rows
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.answers import Battles, ScoreMatrix
from fusionapp.domain.routing.comparison_counts import count_pairs, often_enough
from fusionapp.domain.routing.comparisons import battles_among, scores_among
from fusionapp.domain.routing.conversions import battles_of_both, battles_of_scores, scores_of_battles
from fusionapp.domain.routing.expected_costs import ExpectedCosts

logger = logging.getLogger(__name__)

Rows = NDArray[np.int64]


@attrs.frozen
class ComparedModel:
    """A model and how often it can be compared.

    Attributes:
        model: its name.
        comparisons: battles in train, and other models' scores on prompts of train on which it has one.
        kept: whether that is enough.
    """

    model: str
    comparisons: int
    kept: bool


@attrs.frozen(eq=False)
class LoadedAnswers:
    """One split as routers are trained on it and judged by it.

    Attributes:
        answered: prompts, scores and battles.
        rows: (prompts,) where the prompts stand in the split's spool.
        prompt_tokens: (prompts,) given or estimated.
        left_out: prompts with an embedding of which nothing is known once models were left out.
        shares: whether qualities are shares of wins, as battles alone are known.
    """

    answered: AnsweredPrompts
    rows: Rows
    prompt_tokens: NDArray[np.float64]
    left_out: int
    shares: bool = False


@attrs.frozen
class LoadAnswers:
    """Loads what `ReadAnswers` kept.

    Attributes:
        spool: of the run.
        runs: of the run.
        tie_below: scores that differ by less make a tie where battles are made of them.
        bad_below: two scores that lie below make both answers bad.
    """

    spool: Spool
    runs: RunStore
    tie_below: float = 0.0
    bad_below: float = 0.0

    def compared(self, minimum: int = 1) -> Sequence[ComparedModel]:
        """Every model, and whether it is compared in train often enough.

        Raises:
            UsageError: no answers were read, or fewer than two models are left.
            CorruptArtifactError: tables do not fit together.
        """
        models = self._models()
        scores, battles, _ = self._tables("train", models)
        counts = count_pairs(scores.quality, battles)
        kept = often_enough(counts, minimum)
        return [
            ComparedModel(model, int(count), bool(keep))
            for model, count, keep in zip(models, counts.sum(axis=1), kept, strict=True)
        ]

    def costs(self) -> ExpectedCosts:
        """What answers to new prompts cost.

        Raises:
            UsageError: no answers were read.
        """
        return ExpectedCosts.of_json(self._document()["models"])

    def __call__(self, split: SplitEmbeddings, models: Sequence[str] | None = None) -> LoadedAnswers:
        """Answers to those prompts of a split that have embeddings.

        Battles are made of a split's scores; scores are made of its battles where it has no others.

        Args:
            split: the embeddings.
            models: only these, in this order; None for all.

        Raises:
            UsageError: no answers were read, an unknown model, or nothing is known of any prompt.
            CorruptArtifactError: tables do not fit the prompts beside them.
        """
        known = self._models()
        scores, battles, tokens = self._tables(split.split, known)
        chosen = known if models is None else tuple(models)
        scores, battles = scores_among(scores, chosen), battles_among(battles, chosen)
        answered = np.logical_or.reduce(np.isfinite(scores.quality), axis=1)
        answered[battles.prompts] = True
        kept = answered[split.rows]
        if not kept.any():
            raise UsageError(f"{split.origin}: split {split.split!r} has no answer of {', '.join(chosen)}")
        rows = split.rows[kept]
        scores, battles = _scores_at(scores, rows), _battles_at(battles, rows, len(answered))
        shares = not np.isfinite(scores.quality).any()
        scores, battles = self._convert(scores, battles)
        texts = [example.text for example in examples_of(self.spool.read(split.split), rows)]
        places = np.flatnonzero(kept)
        embeddings = {
            name: values if kept.all() else take_rows(values, places)
            for name, values in split.sources.items()
        }
        if not kept.all():
            logger.warning("%s: %d prompts without an answer are left out", split.split, int((~kept).sum()))
        return LoadedAnswers(
            AnsweredPrompts(Prompts(texts, embeddings), scores, battles),
            rows,
            tokens[rows],
            int((~kept).sum()),
            bool(shares),
        )

    def _convert(self, scores: ScoreMatrix, battles: Battles) -> tuple[ScoreMatrix, Battles]:
        """Battles of all scores, beside those that were given; scores of battles where there are no others.

        Shares of wins are no qualities, so they never stand beside some. Costs and latencies stay.
        """
        if np.isfinite(scores.quality).any():
            made = battles_of_scores(scores, self.tie_below, self.bad_below)
            return scores, battles_of_both(made, battles) if len(battles.outcome) else made
        shares = scores_of_battles(battles, len(scores.quality))
        return attrs.evolve(scores, quality=shares.quality), battles

    def _document(self) -> Mapping[str, Json]:
        document = self.runs.read_document(MODELS)
        if document is None:
            raise UsageError(f"{self.runs.directory}: holds no answers; run `fusionapp extract` first")
        if not isinstance(document, Mapping) or not {"models", "tables"} <= set(document):
            raise CorruptArtifactError(f"{self.runs.directory}/{MODELS}: is damaged; read the answers again")
        return document

    def _models(self) -> tuple[str, ...]:
        return tuple(self._document()["models"])

    def _tables(self, split: str, models: Sequence[str]) -> tuple[ScoreMatrix, Battles, NDArray[np.float64]]:
        """Scores and battles of every prompt of a split, and the prompts' tokens."""
        rows, held = self.spool.read(split).rows, self._document()["tables"]
        unknown = np.full((rows, len(models)), np.nan)
        scores, tokens = ScoreMatrix(models, unknown, unknown, unknown), np.full(rows, np.nan)
        none = np.empty(0, dtype=np.int64)
        battles = Battles(models, none, none, none, none.astype(np.int8))
        if ANSWERS in held:
            name = f"{ANSWERS}/{split}.parquet"
            table = self.runs.read_table(name)
            _check_matrices(name, table, (rows, len(models)))
            scores = ScoreMatrix(models, *(table[key] for key in ("quality", "cost", "latency")))
            tokens = table["prompt_tokens"]
        if BATTLES in held:
            name = f"{BATTLES}/{split}.parquet"
            table = self.runs.read_table(name)
            _check_battles(name, table, (rows, len(models)))
            battles = Battles(models, *(table[key] for key in ("prompt", "first", "second", "outcome")))
        return scores, battles, tokens


def _scores_at(scores: ScoreMatrix, rows: Rows) -> ScoreMatrix:
    return ScoreMatrix(scores.models, scores.quality[rows], scores.cost[rows], scores.latency[rows])


def _battles_at(battles: Battles, rows: Rows, prompts: int) -> Battles:
    """The battles on some prompts, whose numbers become their places among `rows`."""
    place = np.full(prompts, -1, dtype=np.int64)
    place[rows] = np.arange(len(rows))
    found = place[battles.prompts]
    kept = found >= 0
    return Battles(
        battles.models, found[kept], battles.first[kept], battles.second[kept], battles.outcome[kept]
    )


def _check_matrices(name: str, table: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> None:
    for column in ("quality", "cost", "latency", "prompt_tokens"):
        expected = shape[:1] if column == "prompt_tokens" else shape
        if column not in table or table[column].shape != expected:
            raise CorruptArtifactError(f"{name}: column {column!r} {_UNFIT}")


def _check_battles(name: str, table: Mapping[str, NDArray[Any]], shape: tuple[int, int]) -> None:
    for column, limit in (("prompt", shape[0]), ("first", shape[1]), ("second", shape[1])):
        if column not in table or not ((table[column] >= 0) & (table[column] < limit)).all():
            raise CorruptArtifactError(f"{name}: column {column!r} {_UNFIT}")
    if "outcome" not in table:
        raise CorruptArtifactError(f"{name}: column 'outcome' {_UNFIT}")


_UNFIT = "does not fit the prompts and models beside it; read the answers again"
