"""From a row of named columns to scores or a battle, once it is known what the columns hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import attrs

from fusionapp.domain.columns import Place, check_columns, format_label, read_id, read_text, shorten
from fusionapp.domain.retrieval.pair_columns import check_filled, name_by_text
from fusionapp.domain.routing.answers import FIRST, SECOND, TIE
from fusionapp.domain.routing.conversations import first_turn
from fusionapp.domain.routing.measures import Measure, read_model, read_number
from fusionapp.domain.routing.rows import AnswerRow, BattleRow, ScoreRow, read_outcome

_YES, _NO = ("1", "true"), ("0", "false")


class AnswerLayout(Protocol):
    """What the columns of a file hold."""

    @property
    def required(self) -> Sequence[str]:
        """Columns that every row must have."""

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Those of the columns that there are which are read, each once."""

    def row(self, values: Mapping[str, object], place: Place) -> AnswerRow:
        """One row.

        Raises:
            DatasetError: a cell that cannot be read; names the place.
        """


@attrs.frozen
class PromptColumns:
    """Where the prompt stands and what names it.

    Attributes:
        prompt: the column of its text.
        turns: what the column holds: text; a conversation, the first turn of whose user is the prompt; or either.
        id: columns that name the prompt, joined with "/"; none means a hash of its text.
        task: the task's column, or None.
        tokens: the column of the prompt's tokens, or None.
    """

    prompt: str
    turns: bool | None = False
    id: tuple[str, ...] = ()
    task: str | None = None
    tokens: str | None = None

    @property
    def required(self) -> Sequence[str]:
        """The prompt and its id."""
        return (self.prompt, *self.id)

    @property
    def columns(self) -> Sequence[str]:
        """Every column that is read."""
        return (*self.required, *(one for one in (self.task, self.tokens) if one is not None))

    def read(self, values: Mapping[str, object], place: Place) -> tuple[str, str, str | None, float | None]:
        """The prompt, its id, its task, its tokens."""
        prompt = self._prompt(values[self.prompt], place)
        ids = [self._name(values[column], column, place) for column in self.id]
        task = None if self.task is None else format_label(values.get(self.task))
        tokens = None if self.tokens is None else read_number(values.get(self.tokens), self.tokens, place)
        if tokens is not None and tokens < 0:
            raise place.error(f"expected at least 0 tokens, got {tokens:g}", self.tokens)
        return prompt, "/".join(ids) or name_by_text(prompt), task, tokens

    def _prompt(self, value: object, place: Place) -> str:
        turn = None if self.turns is False else first_turn(value)
        if turn is None and self.turns:
            raise place.error(
                'expected a conversation with a turn of the user, such as [{"role": "user", "content": "Hi"}], '
                f"got {shorten(value)}",
                self.prompt,
            )
        text = read_text(value if turn is None else turn, self.prompt, place)
        return check_filled(text, "prompt", self.prompt, place)

    @staticmethod
    def _name(value: object, column: str, place: Place) -> str:
        name = read_id(value, column, place)
        if name is None or not str(name).strip():
            raise place.error(
                "the id is missing; fill it in, or name no id column: prompts then name themselves", column
            )
        return read_text(str(name), column, place)


@attrs.frozen
class ScoreLayout:
    """Scores of one or several models a row.

    Attributes:
        prompt: where the prompt stands.
        scores: where quality stands.
        low: the worst quality there is.
        high: the best.
        costs: where USD stand, or None.
        latencies: where seconds stand, or None.
        tokens: where the answers' tokens stand, or None.
    """

    prompt: PromptColumns
    scores: Measure
    low: float = 0.0
    high: float = 1.0
    costs: Measure | None = None
    latencies: Measure | None = None
    tokens: Measure | None = None

    @property
    def required(self) -> Sequence[str]:
        """The prompt, its id, and what scores cannot do without."""
        return (*self.prompt.required, *self.scores.required)

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Every column that is read, each once."""
        names = list(there)
        measures = [one for one in (self.scores, self.costs, self.latencies, self.tokens) if one is not None]
        found = (column for measure in measures for column in measure.columns(names))
        return tuple(dict.fromkeys((*self.prompt.columns, *found)))

    def row(self, values: Mapping[str, object], place: Place) -> ScoreRow:
        """One row; scores are scaled to [0, 1]."""
        prompt, id, task, prompt_tokens = self.prompt.read(values, place)
        given = self.scores.read(values, place)
        if not given:
            raise place.error("no model has a score; fill one in or remove the row")
        return ScoreRow(
            prompt,
            id,
            task,
            {model: self._quality(score, model, column, place) for model, (score, column) in given.items()},
            _amounts(self.costs, values, place),
            _amounts(self.latencies, values, place),
            _amounts(self.tokens, values, place),
            prompt_tokens,
        )

    def _quality(self, score: float, model: str, column: str, place: Place) -> float:
        if not self.low <= score <= self.high:
            raise place.error(
                f"score {score:g} of model {model!r} is not in [{self.low:g}, {self.high:g}]; say from where to "
                "where scores go: dataset.score_range = [low, high]",
                column,
            )
        return (score - self.low) / (self.high - self.low)


@attrs.frozen
class BattleLayout:
    """A battle a row.

    Attributes:
        prompt: where the prompt stands.
        model_a: the first model's column.
        model_b: the second's.
        winner: the column of the winner's name, or the three columns of which one holds a 1: the first model
            won, the second did, neither.
    """

    prompt: PromptColumns
    model_a: str
    model_b: str
    winner: str | tuple[str, str, str]

    @property
    def required(self) -> Sequence[str]:
        """All but the task and the prompt's tokens."""
        winner = (self.winner,) if isinstance(self.winner, str) else self.winner
        return (*self.prompt.required, self.model_a, self.model_b, *winner)

    def columns(self, there: Iterable[str]) -> Sequence[str]:
        """Every column that is read, each once."""
        return tuple(dict.fromkeys((*self.prompt.columns, *self.required)))

    def row(self, values: Mapping[str, object], place: Place) -> BattleRow:
        """One row."""
        prompt, id, task, tokens = self.prompt.read(values, place)
        first, second = (read_model(values[column], column, place) for column in (self.model_a, self.model_b))
        if first == second:
            raise place.error(f"model {first!r} battles itself; remove the row", self.model_b)
        return BattleRow(prompt, id, task, first, second, self._outcome(values, place), tokens)

    def _outcome(self, values: Mapping[str, object], place: Place) -> int:
        if isinstance(self.winner, str):
            value = values[self.winner]
            outcome = read_outcome(value) if isinstance(value, str) else None
            if outcome is None:
                raise place.error(
                    f'expected "model_a", "model_b", "tie" or "both_bad", got {shorten(value)}', self.winner
                )
            return outcome
        said = [str(format_label(values[column])).casefold() for column in self.winner]
        if sorted(said.count(one) for one in _YES) != [0, 1] or sum(map(said.count, _NO)) != 2:
            raise place.error(
                f"expected a single 1 among {', '.join(self.winner)} and 0 in the others, got {', '.join(said)}"
            )
        return (FIRST, SECOND, TIE)[next(index for index, one in enumerate(said) if one in _YES)]


def check_layout(layout: AnswerLayout, there: Iterable[str], place: Place) -> None:
    """Compare with the columns that there are.

    Raises:
        DatasetError: one is missing, or the name of one that is read stands twice.
    """
    names = list(there)
    check_columns(layout.required, names, place)
    check_columns([column for column in layout.columns(names) if column in names], names, place)


def _amounts(measure: Measure | None, values: Mapping[str, object], place: Place) -> dict[str, float]:
    if measure is None:
        return {}
    found = measure.read(values, place)
    for model, (number, column) in found.items():
        if number < 0:
            raise place.error(f"expected at least 0 for model {model!r}, got {number:g}", column)
    return {model: number for model, (number, _) in found.items()}
