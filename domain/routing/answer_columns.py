"""Which of four layouts a table of models' answers has, seen by its columns or said by the experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, get_args

import attrs

from fusionapp.domain.columns import Place, check_columns
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answer_layouts import (
    AnswerLayout,
    BattleLayout,
    PromptColumns,
    ScoreLayout,
)
from fusionapp.domain.routing.measures import (
    ColumnOfModel,
    MappingColumn,
    Measure,
    NamedColumns,
    PatternColumns,
)

Kind = Literal["mapping", "wide", "long", "battles"]
"""mapping: a column of mappings from model to score; wide: a column for each model; long: a row for each answer;
battles: a row for each two answers."""

Layout: TypeAlias = Literal[Kind, "auto"]
"""One of the four, or the one that the columns tell."""

Columns: TypeAlias = "str | tuple[str, ...] | None"
"""A column, a pattern with a star, or a column for each model."""

_NAMES: Mapping[str, tuple[str, str, str]] = {
    "scores": ("scores", "score_*", "score"),
    "costs": ("costs", "cost_*", "cost"),
    "latencies": ("latencies", "latency_*", "latency"),
    "tokens": ("tokens", "tokens_*", "tokens"),
}
"""Default names: of a mapping, of columns for each model, and of the column where each answer has a row."""

_WINNERS = ("winner_model_a", "winner_model_b", "winner_tie")
_CONVERSATIONS = ("conversation", "conversation_a")


@attrs.frozen
class AnswerColumns:
    """What ``[dataset]`` says of columns; None where it says nothing.

    Attributes:
        layout: one of the four, or "auto".
        prompt: the prompt's column; default "prompt".
        conversation: a column of conversations instead, the first turn of whose user is the prompt.
        id: columns that name the prompt in what is kept; equal texts are one prompt whatever they say, and go by
            the first one's name.
        task: the task's column; default "task" where there is one.
        prompt_tokens: the column of the prompt's tokens; default "prompt_tokens" where there is one.
        scores: a column of mappings, a pattern such as "score_*", a column for each model, or the column of
            scores beside `model`.
        costs: USD of each answer, as `scores`.
        latencies: seconds.
        tokens: of the answer.
        model: the model's column where each answer has a row.
        model_a: the first model's column; default "model_a".
        model_b: the second's; default "model_b".
        winner: the winner's column; default "winner", or "winner_model_a", "winner_model_b" and "winner_tie".
        score_range: the worst and the best score there can be.
    """

    layout: Layout = "auto"
    prompt: str | None = None
    conversation: str | None = None
    id: tuple[str, ...] = ()
    task: str | None = None
    prompt_tokens: str | None = None
    scores: Columns = None
    costs: Columns = None
    latencies: Columns = None
    tokens: Columns = None
    model: str | None = None
    model_a: str | None = None
    model_b: str | None = None
    winner: str | None = None
    score_range: tuple[float, float] = (0.0, 1.0)

    def __attrs_post_init__(self) -> None:
        if self.layout not in ("auto", *get_args(Kind)):
            raise UsageError(
                f"dataset.layout: expected auto, {', '.join(get_args(Kind))}, got {self.layout!r}"
            )
        if self.prompt is not None and self.conversation is not None:
            raise UsageError("dataset.prompt and dataset.conversation: name one of them")
        low, high = self.score_range
        if not low < high:
            raise UsageError(
                f"dataset.score_range: expected [low, high], low below high, got [{low}, {high}]"
            )
        for key in _NAMES:
            value = getattr(self, key)
            if isinstance(value, str) and "*" in value:
                PatternColumns.of(value, f"dataset.{key}")

    def find(self, there: Sequence[str], place: Place) -> AnswerLayout:
        """The layout of a table with these columns.

        Raises:
            DatasetError: none fits, or several do, or a column that was named is missing; lists what is there.
        """
        kind = self._kind(there, place) if self.layout == "auto" else self.layout
        # Absent, these would read as nothing known, row by row.
        check_columns([column for column in (self.task, self.prompt_tokens) if column], there, place)
        for key in _NAMES:
            if kind != "battles" and getattr(self, key) is not None:
                measure = self._measure(key, kind, there)
                check_columns(measure.required, there, place)
                if not measure.columns(there):
                    raise place.error(
                        f"no column fits dataset.{key} = {getattr(self, key)!r}; the columns there are: "
                        + ", ".join(map(repr, there))
                    )
        return self._build(kind, there)

    def _kind(self, there: Sequence[str], place: Place) -> Kind:
        kinds: tuple[Kind, ...] = get_args(Kind)
        fitting = [kind for kind in kinds if self._fits(kind, there)]
        if len(fitting) == 1:
            return fitting[0]
        listed = ", ".join(map(repr, there)) or "none"
        if not fitting:
            check_columns([self._prompt_column(there)[0]], there, place)
            raise place.error(
                f'the columns there are: {listed}; expected, beside the prompt, a column "scores" of mappings '
                'from model to score, columns "score_MODEL", columns "model" and "score", or columns "model_a", '
                '"model_b" and "winner"; if they are called otherwise, name them: dataset.scores, dataset.model, '
                "dataset.winner"
            )
        choices = " or ".join(f'"{kind}"' for kind in fitting)
        raise place.error(f"the columns {listed} can be read in several ways; say dataset.layout = {choices}")

    def _fits(self, kind: Kind, there: Sequence[str]) -> bool:
        if kind == "battles":
            model_a, model_b, winner = self._battle_columns(there)
            names = (model_a, model_b, *((winner,) if isinstance(winner, str) else winner))
            return not (self.scores or self.model) and all(column in there for column in names)
        if self.model_a or self.model_b or self.winner or (self.model and kind != "long"):
            return False
        several = isinstance(self.scores, tuple) or (self.scores is not None and "*" in self.scores)
        if kind == "wide":
            return (several or self.scores is None) and bool(
                self._measure("scores", kind, there, required=True).columns(there)
            )
        measure = self._measure("scores", kind, there, required=True)
        fits = not several and all(column in there for column in measure.required)
        # A scores column that was named beside a "model" column is one of scores.
        return fits and (kind == "long" or not (self.scores and "model" in there))

    def _build(self, kind: Kind, there: Sequence[str]) -> AnswerLayout:
        if kind == "battles":
            model_a, model_b, winner = self._battle_columns(there)
            prompt = self._prompt(there, battles=True, listed=not isinstance(winner, str))
            return BattleLayout(prompt, model_a, model_b, winner)
        low, high = self.score_range
        scores = self._measure("scores", kind, there, required=True)
        others = (self._optional(key, kind, there) for key in ("costs", "latencies", "tokens"))
        return ScoreLayout(self._prompt(there), scores, low, high, *others)

    def _battle_columns(self, there: Sequence[str]) -> tuple[str, str, str | tuple[str, str, str]]:
        winner = self.winner or "winner"
        indicated = self.winner is None and winner not in there and _WINNERS[0] in there
        return self.model_a or "model_a", self.model_b or "model_b", _WINNERS if indicated else winner

    def _prompt_column(self, there: Sequence[str], battles: bool = True) -> tuple[str, bool]:
        """The prompt's column, and whether it holds conversations."""
        if self.conversation is not None:
            return self.conversation, True
        if self.prompt is None and "prompt" not in there and battles:
            for column in _CONVERSATIONS:
                if column in there:
                    return column, True
        return self.prompt or "prompt", False

    def _prompt(self, there: Sequence[str], battles: bool = False, listed: bool = False) -> PromptColumns:
        """`listed`: the export's prompts are lists of the user's turns, in JSON."""
        column, turns = self._prompt_column(there, battles)
        return PromptColumns(
            column,
            True if turns else (None if listed else False),
            self.id,
            self.task or ("task" if "task" in there else None),
            self.prompt_tokens or ("prompt_tokens" if "prompt_tokens" in there else None),
        )

    def _measure(self, key: str, kind: Kind, there: Sequence[str], required: bool = False) -> Measure:
        mapping, pattern, single = _NAMES[key]
        value: Columns = getattr(self, key)
        if kind == "long":
            default = single
        elif kind == "wide" and (required or mapping not in there):
            default = pattern
        else:
            default = mapping
        named = default if value is None else value
        if isinstance(named, tuple):
            return NamedColumns(named)
        if "*" in named:
            return PatternColumns.of(named, f"dataset.{key}")
        return ColumnOfModel(named, self.model or "model") if kind == "long" else MappingColumn(named)

    def _optional(self, key: str, kind: Kind, there: Sequence[str]) -> Measure | None:
        measure = self._measure(key, kind, there)
        if getattr(self, key) is not None:
            return measure
        return measure if any(column in there for column in measure.columns(there)[:1]) else None


def answer_columns(
    layout: Layout = "auto",
    *,
    id: str | Iterable[str] | None = None,
    scores: str | Sequence[str] | None = None,
    costs: str | Sequence[str] | None = None,
    latencies: str | Sequence[str] | None = None,
    tokens: str | Sequence[str] | None = None,
    score_range: Sequence[float] = (0.0, 1.0),
    **names: str | None,
) -> AnswerColumns:
    """`AnswerColumns` from settings as an experiment file gives them; `names` are those of single columns.

    Raises:
        UsageError: settings that make no sense.
    """
    if len(score_range) != 2:
        raise UsageError(f"dataset.score_range: expected [low, high], got {list(score_range)}")
    low, high = (float(bound) for bound in score_range)
    return AnswerColumns(
        layout,
        id=(id,) if isinstance(id, str) else tuple(id or ()),
        scores=_fix(scores),
        costs=_fix(costs),
        latencies=_fix(latencies),
        tokens=_fix(tokens),
        score_range=(low, high),
        **names,
    )


def _fix(columns: str | Sequence[str] | None) -> Columns:
    return columns if columns is None or isinstance(columns, str) else tuple(columns)
