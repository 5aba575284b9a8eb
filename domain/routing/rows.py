"""What one row of routing data says: scores of models on a prompt, or a battle of two."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import attrs

from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, TIE

_SPELLINGS = {
    "a": FIRST,
    "model_a": FIRST,
    "left": FIRST,
    "b": SECOND,
    "model_b": SECOND,
    "right": SECOND,
    "tie": TIE,
    "draw": TIE,
    "both_bad": BOTH_BAD,
    "bothbad": BOTH_BAD,
    "tie_bothbad": BOTH_BAD,
    "tie_both_bad": BOTH_BAD,
}
_NO_WORD = re.compile(r"[^a-z]+")


@attrs.frozen
class ScoreRow:
    """A prompt and what is known of models' answers to it.

    Attributes:
        prompt: its text.
        id: names the prompt.
        task: where it comes from, or None.
        scores: quality in [0, 1] of each model that answered.
        costs: USD of an answer, where known.
        latencies: seconds that an answer took, where known.
        tokens: tokens of an answer, where known.
        prompt_tokens: tokens of the prompt, where known.
    """

    prompt: str
    id: str
    task: str | None
    scores: Mapping[str, float]
    costs: Mapping[str, float] = attrs.field(factory=dict)
    latencies: Mapping[str, float] = attrs.field(factory=dict)
    tokens: Mapping[str, float] = attrs.field(factory=dict)
    prompt_tokens: float | None = None


@attrs.frozen
class BattleRow:
    """Two models' answers to a prompt, compared.

    Attributes:
        prompt: its text; of a conversation the first turn of the user.
        id: names the prompt.
        task: where it comes from, or None.
        model_a: the first model.
        model_b: the second, another one.
        outcome: `FIRST`, `SECOND`, `TIE` or `BOTH_BAD`.
        prompt_tokens: tokens of the prompt, where known.
    """

    prompt: str
    id: str
    task: str | None
    model_a: str
    model_b: str
    outcome: int
    prompt_tokens: float | None = None


AnswerRow: TypeAlias = ScoreRow | BattleRow


def read_outcome(winner: str) -> int | None:
    """The outcome that a winner's name stands for, whatever its case and punctuation.

    "model_a", "a" and "left"; "model_b", "b" and "right"; "tie" and "draw"; "both_bad", "tie (bothbad)" and
    "both bad" are known.

    Returns:
        `FIRST`, `SECOND`, `TIE` or `BOTH_BAD`; None for anything else.
    """
    return _SPELLINGS.get(_NO_WORD.sub("_", winner.casefold()).strip("_"))
