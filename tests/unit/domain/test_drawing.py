from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.composition import Composition, Stage
from fusionapp.domain.retrieval.drawing import Pool, composed_pools, plain_pools, pools_per_epoch

SHARES = {"main": 0.5, "soft": 0.2, "hard": 0.2, "cross_domain": 0.05, "other": 0.05}
TOPICS = ["gr-qc"] * 40 + ["hep-th"] * 20 + ["math-ph"] * 9 + ["cs.LG"] * 5 + ["q-bio"] * 6
PAIRS = np.repeat(np.arange(len(TOPICS)), 2).reshape(-1, 2)
COMPOSITION = Composition(main=("gr-qc",), soft=("hep-th",), hard=("math-ph",), cross_domain=("cs.LG",))
MAIN_ONLY = Stage(main=1, soft=0, hard=0, cross_domain=0, other=0)


def drawn(pools: list[Pool]) -> Counter[str]:
    return sum((Counter(pool.drawn) for pool in pools), Counter[str]())


@given(st.integers(2, 60), st.integers(2, 20), st.integers(0, 5))
def test_an_epoch_draws_every_pair_once_but_for_a_single_last_one(pairs: int, pool: int, seed: int) -> None:
    epoch = list(islice(plain_pools(PAIRS[:pairs], pool, seed), pools_per_epoch(pairs, pool)))
    rows = np.concatenate([p.rows for p in epoch])
    assert len(set(rows.tolist())) == len(rows) == pairs - (pairs % pool == 1)
    assert all(len(p.rows) == pool for p in epoch[:-1])
    assert len(epoch[-1].rows) >= 2


def test_each_epoch_has_another_order() -> None:
    pools = list(islice(plain_pools(PAIRS, 40, 0), 4))
    assert not np.array_equal(pools[0].rows, pools[2].rows)
    assert not np.array_equal(pools[0].rows, next(plain_pools(PAIRS, 40, 1)).rows)


@given(st.integers(0, 30), st.integers(0, 3))
def test_pools_after_a_pause_are_those_without_one(start: int, seed: int) -> None:
    whole, rest = plain_pools(PAIRS, 16, seed), plain_pools(PAIRS, 16, seed, start)
    for there, here in zip(islice(whole, start, start + 7), islice(rest, 7), strict=True):
        np.testing.assert_array_equal(there.rows, here.rows)
    composed = list(composed_pools(PAIRS, TOPICS, COMPOSITION, 16, 33, seed))
    resumed = list(composed_pools(PAIRS, TOPICS, COMPOSITION, 16, 33, seed, start))
    assert len(resumed) == 33 - start
    for there, here in zip(composed[start:], resumed, strict=True):
        np.testing.assert_array_equal(there.rows, here.rows)


@pytest.mark.parametrize("column", [0, 1])
def test_pairs_of_one_text_stand_in_different_pools(column: int) -> None:
    """Ten texts of four pairs each, in pools of eight."""
    pairs = np.stack([np.arange(40), np.arange(40)], axis=1)
    pairs[:, column] //= 4
    pools = list(islice(plain_pools(pairs, 8, 0), 4))
    texts = [pairs[pool.rows, column] for pool in pools]
    assert all(len(set(of.tolist())) == 8 for of in texts)


def test_pairs_of_one_document_share_a_pool_where_there_are_no_others() -> None:
    pairs = np.array([[i, 0] for i in range(6)])
    assert sorted(next(plain_pools(pairs, 6, 0)).rows) == list(range(6))


def test_a_composed_run_draws_each_kind_by_its_share() -> None:
    pools = list(composed_pools(PAIRS, TOPICS, COMPOSITION, 20, 50, 0))
    assert all(len(pool.rows) == 20 for pool in pools)
    assert drawn(pools) == {kind: round(share * 1000) for kind, share in SHARES.items()}


def test_what_was_drawn_is_what_is_counted() -> None:
    for pool in composed_pools(PAIRS, TOPICS, COMPOSITION, 20, 50, 0):
        kinds = Counter(COMPOSITION.kind_of(TOPICS[row]) for row in pool.rows)
        assert kinds == {kind: count for kind, count in pool.drawn.items() if count}


@given(st.integers(2, 40), st.integers(1, 60), st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_a_share_is_never_a_whole_pair_short_or_over(pool: int, steps: int, weights: list[int]) -> None:
    stage = Stage(1.0, *[weight + 0.5 for weight in weights])
    composition = Composition(("gr-qc",), ("hep-th",), ("math-ph",), ("cs.LG",), (), (stage,))
    taken: Counter[str] = Counter()
    for step, drawn_pool in enumerate(composed_pools(PAIRS, TOPICS, composition, pool, steps, 0), 1):
        taken += Counter(drawn_pool.drawn)
        assert sum(taken.values()) == step * pool
        for kind, share in stage.shares().items():
            assert abs(taken[kind] - share * step * pool) < 2


def test_a_share_of_less_than_one_pair_is_drawn_every_so_many_pools() -> None:
    pools = list(composed_pools(PAIRS, TOPICS, COMPOSITION, 4, 100, 0))
    assert drawn(pools)["other"] == 20
    assert max(pool.drawn["other"] for pool in pools) == 1


def test_shares_change_with_the_schedule() -> None:
    soft = Stage(main=0, soft=1, hard=0, cross_domain=0, other=0)
    first = Stage(until=0.25, main=1, soft=0, hard=0, cross_domain=0, other=0)
    composition = Composition(("gr-qc",), ("hep-th",), schedule=(first, soft))
    pools = list(composed_pools(PAIRS, TOPICS, composition, 8, 8, 0))
    assert [pool.drawn["main"] for pool in pools] == [8, 8, 0, 0, 0, 0, 0, 0]
    assert [pool.drawn["soft"] for pool in pools] == [0, 0, 8, 8, 8, 8, 8, 8]


def test_a_kind_goes_around_again_in_a_new_order_once_all_are_drawn() -> None:
    composition = Composition(main=("math-ph",), schedule=(MAIN_ONLY,))
    pools = composed_pools(PAIRS, TOPICS, composition, 3, 9, 0)
    rows = np.concatenate([pool.rows for pool in pools]).reshape(3, 9)
    assert all(sorted(of.tolist()) == list(range(60, 69)) for of in rows)
    assert not np.array_equal(rows[0], rows[1])


def test_a_kind_smaller_than_its_quota_fills_it_all_the_same() -> None:
    composition = Composition(main=("cs.LG",), schedule=(MAIN_ONLY,))
    (pool,) = composed_pools(PAIRS, TOPICS, composition, 12, 1, 0)
    assert sorted(Counter(pool.rows.tolist()).values()) == [2, 2, 2, 3, 3]


def test_composed_pools_keep_pairs_of_one_document_apart() -> None:
    """Two pairs a document of the main topic, of whose 40 pairs three pools draw 30."""
    pairs = PAIRS.copy()
    pairs[:40, 1] //= 2
    for pool in composed_pools(pairs, TOPICS, COMPOSITION, 20, 3, 0):
        documents = pairs[pool.rows, 1]
        assert len(set(documents.tolist())) == 20


def test_pairs_of_topics_without_a_kind_are_never_drawn() -> None:
    composition = Composition(
        main=("gr-qc",), other=("cs.LG",), schedule=(Stage(soft=0, hard=0, cross_domain=0),)
    )
    rows = np.concatenate([p.rows for p in composed_pools(PAIRS, TOPICS, composition, 10, 20, 0)])
    assert {TOPICS[row] for row in rows} == {"gr-qc", "cs.LG"}


def test_a_named_kind_without_pairs_is_refused() -> None:
    with pytest.raises(UsageError, match=r"composition\.soft: no training pair has a topic of hep-ph"):
        composed_pools(PAIRS, TOPICS, Composition(("gr-qc",), ("hep-ph",), ("math-ph",), ("cs.LG",)), 8, 4, 0)


def test_the_share_of_unnamed_other_topics_goes_to_the_rest_where_there_are_none() -> None:
    (pool,) = composed_pools(PAIRS[:74], TOPICS[:74], COMPOSITION, 19, 1, 0)
    assert pool.drawn == {"main": 10, "soft": 4, "hard": 4, "cross_domain": 1}


def test_a_stage_without_any_pairs_is_refused() -> None:
    nothing = Stage(main=0, soft=0, hard=0, cross_domain=0, other=1)
    with pytest.raises(UsageError, match=r"schedule\[0\]: no training pair is of a kind with a share"):
        composed_pools(PAIRS[:40], TOPICS[:40], Composition(("gr-qc",), schedule=(nothing,)), 8, 4, 0)


def test_a_single_pair_makes_no_pool() -> None:
    with pytest.raises(UsageError, match="1 training pairs; at least 2"):
        next(plain_pools(PAIRS[:1], 8, 0))
