"""Pools by shares of kinds of topics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.composition import Composition, Stage
from fusionapp.domain.retrieval.drawing import KINDS, KindDrawer, quotas, rows_by_kind, stage_at

TOPICS = ["a"] * 10 + ["b"] * 4 + ["c"] * 3 + [None] * 2
COMPOSITION = Composition(
    main=("a",),
    soft=("b",),
    schedule=(
        Stage(until=0.5, main=1.0, soft=0.0, hard=0.0, cross_domain=0.0, other=0.0),
        Stage(until=1.0, main=0.5, soft=0.25, hard=0.0, cross_domain=0.0, other=0.25),
    ),
)


def test_unnamed_topics_are_other() -> None:
    found = rows_by_kind(COMPOSITION, TOPICS)
    assert {kind: len(rows) for kind, rows in found.items()} == {"main": 10, "soft": 4, "other": 5}


@given(
    st.lists(st.floats(0, 10), min_size=5, max_size=5).filter(lambda shares: sum(shares) > 0.01),
    st.integers(1, 200),
)
def test_quotas_fill_a_pool_and_stray_by_less_than_one_pair(shares: list[float], size: int) -> None:
    stage = Stage(1.0, *shares)
    found = quotas(stage, KINDS, size)
    assert sum(found.values()) == size
    for kind, share in zip(KINDS, shares, strict=True):
        assert abs(found[kind] - share / sum(shares) * size) < 1 + 1e-9


def test_the_schedule_changes_what_is_drawn() -> None:
    drawer = KindDrawer(COMPOSITION, TOPICS, np.random.default_rng(0))
    assert drawer.draw(0.0, 8)[1] == {"main": 8, "soft": 0, "other": 0}
    rows, drawn = drawer.draw(0.5, 8)
    assert drawn == {"main": 4, "soft": 2, "other": 2}
    assert [TOPICS[row] for row in rows[:6]] == ["a"] * 4 + ["b"] * 2


def test_every_pair_of_a_kind_is_drawn_before_one_is_again() -> None:
    drawer = KindDrawer(COMPOSITION, TOPICS, np.random.default_rng(0))
    drawn = np.concatenate([drawer.draw(0.0, 5)[0] for _ in range(4)])
    np.testing.assert_array_equal(np.bincount(drawn, minlength=10), np.full(10, 2))


@pytest.mark.parametrize(
    ("composition", "message"),
    [
        (Composition(main=("a",), soft=("a",)), r"soft: 'a' is among main"),
        (Composition(main=("z",)), r"main: no pair has the topic 'z'"),
        (Composition(main=()), r"main: no pair"),
        (Composition(main=("a",), schedule=(Stage(until=0.5),)), r"schedule: until = \[0.5\]"),
    ],
)
def test_a_composition_that_does_not_fit_is_refused(composition: Composition, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        KindDrawer(composition, TOPICS, np.random.default_rng(0))


def test_a_stage_without_shares_is_refused() -> None:
    with pytest.raises(UsageError, match="no share"):
        quotas(Stage(1.0, 0, 0, 0, 0, 1), ["main"], 4)


def test_a_stage_ends_before_its_point() -> None:
    assert stage_at(COMPOSITION.schedule, 0.49).until == 0.5
    assert stage_at(COMPOSITION.schedule, 0.5).until == 1.0
