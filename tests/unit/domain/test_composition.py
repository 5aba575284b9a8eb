from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.retrieval.composition import KINDS, Composition, Stage

NAMED = Composition(main=("gr-qc",), soft=("hep-th",), hard=("math-ph",), cross_domain=("cs.LG",))
MAIN_ONLY = Stage(main=1, soft=0, hard=0, cross_domain=0, other=0)


def test_a_composition_that_names_every_kind_has_no_problem() -> None:
    assert NAMED.problems() == []


def test_topics_have_the_kind_they_are_named_in_and_all_others_are_other() -> None:
    topics = ["gr-qc", "hep-th", "math-ph", "cs.LG", "q-bio", None]
    expected = ["main", "soft", "hard", "cross_domain", "other", "other"]
    assert [NAMED.kind_of(topic) for topic in topics] == expected


def test_named_other_topics_leave_the_rest_without_a_kind() -> None:
    composition = Composition(main=("gr-qc",), other=("q-bio",))
    assert [composition.kind_of(topic) for topic in ("q-bio", "econ", None)] == ["other", None, None]


def test_the_name_of_an_archive_takes_its_categories_but_those_that_are_named_themselves() -> None:
    composition = Composition(main=("cs",), cross_domain=("cs.LG",), other=("q-bio",))
    topics = ["cs", "cs.CL", "cs.LG", "q-bio.NC", "q-bio", "econ.EM", "", None]
    expected = ["main", "main", "cross_domain", "other", "other", None, None, None]
    assert [composition.kind_of(topic) for topic in topics] == expected


def test_every_problem_is_told_at_once() -> None:
    composition = Composition(
        main=("gr-qc", "hep-th"),
        soft=("hep-th",),
        cross_domain=("cs.LG",),
        schedule=(
            Stage(until=0.5, hard=0.2),
            Stage(until=0.4, main=0, soft=0, hard=0, cross_domain=0, other=0),
        ),
    )
    assert composition.problems() == [
        "train.composition: topic 'hep-th' is named in main, soft; name it once",
        "train.composition.schedule: stages end at [0.5, 0.4]; each must end after the one before it",
        "train.composition.schedule: the last stage ends at 0.4; set its until = 1.0",
        "train.composition.schedule[0].hard: share 0.2, but train.composition.hard names no topic; "
        "name one or set hard = 0",
        "train.composition.schedule[1]: every share is 0; give main a share",
    ]


def test_a_topic_named_twice_in_one_kind_is_a_problem() -> None:
    composition = Composition(main=("a", "a"), schedule=(MAIN_ONLY,))
    assert composition.problems() == ["train.composition: topic 'a' is named in main, main; name it once"]


def test_an_empty_schedule_is_a_problem() -> None:
    assert Composition(main=("a",), schedule=()).problems() == [
        "train.composition.schedule: no stage; give at least one"
    ]


@pytest.mark.parametrize(("steps", "first"), [(10, 5), (100, 50), (3, 2), (1, 1)])
def test_stages_take_their_part_of_the_steps(steps: int, first: int) -> None:
    schedule = (Stage(until=0.5, main=1, soft=0, hard=0, cross_domain=0, other=0), Stage(main=0))
    composition = Composition(main=("a",), schedule=schedule)
    mains = [composition.shares(step, steps)["main"] for step in range(steps)]
    assert mains == [1.0] * first + [0.0] * (steps - first)


@given(st.lists(st.floats(0, 100), min_size=5, max_size=5))
def test_shares_add_up_to_1_whatever_their_scale(given_shares: list[float]) -> None:
    stage = Stage(1.0, *given_shares)
    total = sum(stage.shares().values())
    assert np.isclose(total, 1) if sum(given_shares) > 0 else total == 0
    assert list(stage.shares()) == list(KINDS)
