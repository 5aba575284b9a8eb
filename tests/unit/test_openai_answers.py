"""Nothing of an answer is taken on trust."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.adapters.openai_compatible.answers import answer_limit, read_answer
from fusionapp.adapters.openai_compatible.failures import FaultError
from fusionapp.domain.errors import UpstreamError

ROWS = [[1.0, -2.5], [0.1, 3e-30], [0.0, 7.0]]


def item(index: Any, embedding: Any) -> dict[str, Any]:
    return {"object": "embedding", "index": index, "embedding": embedding}


def packed(row: list[float]) -> str:
    return base64.b64encode(np.array(row, dtype="<f4").tobytes()).decode()


def body(data: Any, **more: Any) -> bytes:
    return json.dumps({"data": data, **more}).encode()


@given(st.permutations(range(3)), st.booleans())
def test_each_vector_stands_where_its_index_says(order: list[int], short: bool) -> None:
    data = [item(index, packed(ROWS[index]) if short else ROWS[index]) for index in order]

    found = read_answer(body(data), 3, 2)

    assert found.vectors.dtype == np.float32
    assert found.vectors.tobytes() == np.array(ROWS, dtype=np.float32).tobytes()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=9))
def test_floats_and_base64_are_the_same_bytes(row: list[float]) -> None:
    long, short = (read_answer(body([item(0, form)]), 1, None) for form in (row, packed(row)))

    assert long.vectors.tobytes() == short.vectors.tobytes()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([item(0, ROWS[0]), item(1, ROWS[1])], "2 items for 3 texts; index 2 is missing"),
        ([item(0, ROWS[0]), item(0, ROWS[1]), item(2, ROWS[2])], "two items of index 0"),
        ([item(i, [1.0, 2.0]) for i in range(4)], "an item of index 3 for 3 texts"),
        ([item(-1, ROWS[0]), item(1, ROWS[1]), item(2, ROWS[2])], "an item of index -1"),
        ([{"embedding": ROWS[0]}] * 3, "an item of index None"),
        ([item("0", ROWS[0])], "an item of index '0'"),
        ([item(True, ROWS[0])], "an item of index True"),
        ([], "0 items for 3 texts"),
        (["x"], "no list of embeddings"),
        ({"0": 1}, "no list of embeddings"),
        (None, "no list of embeddings"),
    ],
)
def test_items_that_are_not_those_that_were_asked_for_are_a_fault(data: Any, told: str) -> None:
    with pytest.raises(FaultError, match=told):
        read_answer(body(data), 3, 2)


@pytest.mark.parametrize(
    "embedding",
    [None, 3, {}, [], "", "AAAA", "*", "AAAAAA", ["1", "2"], [True, False], [[1.0, 2.0]], "ä" * 8],
)
def test_an_embedding_that_is_none_is_a_fault(embedding: Any) -> None:
    with pytest.raises(FaultError, match="an item's embedding"):
        read_answer(body([item(0, embedding)]), 1, None)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"<html>",
        body([item(0, ROWS[0])])[:-9],
        b"[" * 100_000,
        b'{"data": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_answer_is_a_fault(content: bytes) -> None:
    with pytest.raises(FaultError):
        read_answer(content, 1, 2)


def test_vectors_of_another_width_are_refused_with_both_numbers() -> None:
    with pytest.raises(
        UpstreamError, match="vectors of 2 numbers came where 3 were expected; set dim = 2"
    ) as said:
        read_answer(body([item(0, ROWS[0])]), 1, 3)
    assert not isinstance(said.value, FaultError)


def test_vectors_that_differ_in_width_are_refused() -> None:
    with pytest.raises(UpstreamError, match="vectors of 1 numbers came where 2 were expected"):
        read_answer(body([item(0, ROWS[0]), item(1, [1.0])]), 2, None)


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), 1e300, 10**400])
def test_numbers_that_are_not_finite_in_float32_are_let_through_as_such_or_are_a_fault(odd: Any) -> None:
    try:
        found = read_answer(body([item(0, [1.0, odd])]), 1, 2)
    except FaultError:
        assert odd == 10**400
    else:
        assert not np.isfinite(found.vectors).all()


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7}, 7),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 1.5}, None),
        ({"prompt_tokens": True}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_servers_own_count_of_tokens_is_taken_where_it_is_one(usage: Any, tokens: int | None) -> None:
    assert read_answer(body([item(0, ROWS[0])], usage=usage), 1, 2).tokens == tokens


def test_the_limit_has_room_for_numbers_written_out_and_indented() -> None:
    rows = [[-1.2345678901234567e-101] * 1024] * 32
    whole = json.dumps({"data": [item(i, row) for i, row in enumerate(rows)]}, indent=8)

    assert len(whole) < answer_limit(32, 1024)
