"""Probes: a new model's answers, of whatever a source holds."""

from __future__ import annotations

import numpy as np
import pytest
from answers_bench import battle, scored
from fakes.answers import MemoryAnswerSource

from fusionapp.application.services.read_probes import PROBES, Probes, read_probes
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.routing.rows import AnswerRow


def probes(*rows: AnswerRow, model: str = "a") -> Probes:
    return read_probes(MemoryAnswerSource({PROBES: rows}), model)


def test_answers_of_others_and_prompts_without_an_answer_are_left_out() -> None:
    found = probes(scored("p", a=0.25, b=1.0), scored("q", b=0.5), scored("r", a=1.0))
    assert found.texts == ["p", "r"]
    np.testing.assert_array_equal(found.quality, [0.25, 1.0])
    assert np.isnan(found.answer_tokens)
    assert np.isnan(found.mean_cost)


def test_a_prompt_that_was_answered_twice_counts_once_with_the_mean() -> None:
    found = probes(scored("p", a=0.0), scored("q", a=0.5), scored("p", a=1.0))
    assert found.texts == ["p", "q"]
    np.testing.assert_array_equal(found.quality, [0.5, 0.5])


def test_tokens_and_costs_are_means_of_those_that_are_known() -> None:
    found = probes(
        scored("p", a=0.5, tokens={"a": 10.0, "b": 99.0}, costs={"a": 1.0}),
        scored("q", a=0.5, tokens={"a": 30.0}),
    )
    assert (found.answer_tokens, found.mean_cost) == (20.0, 1.0)


def test_no_row_is_told() -> None:
    with pytest.raises(DatasetError, match=r"memory \(probes\): holds no row"):
        probes()


def test_a_model_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(DatasetError, match="no score of 'c', but of b, a"):
        probes(scored("p", b=1.0), scored("q", a=1.0), model="c")


def test_battles_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"row 1 .* is a battle of 'a' and 'b'"):
        probes(scored("p", a=1.0), battle("q"))
