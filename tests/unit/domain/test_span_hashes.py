from __future__ import annotations

import numpy as np
import pytest

from fusionapp.domain import span_hashes
from fusionapp.domain.span_hashes import BASE, hash_spans


def by_loop(codes: list[int]) -> int:
    return sum((code + 1) * pow(BASE, place, 2**32) for place, code in enumerate(codes)) % 2**32


def hashes(codes: list[int], spans: list[tuple[int, int]]) -> list[int]:
    starts, stops = np.array(spans, dtype=np.int64).reshape(-1, 2).T
    found: list[int] = hash_spans(np.array(codes, dtype=np.uint8)).between(starts, stops).tolist()
    return found


def test_a_spans_hash_is_the_polynomial_of_its_codes() -> None:
    codes = [3, 0, 255, 7, 7, 1, 0]
    spans = [(start, stop) for start in range(8) for stop in range(start, 8)]
    assert hashes(codes, spans) == [by_loop(codes[start:stop]) for start, stop in spans]


def test_equal_spans_have_equal_hashes_wherever_they_stand() -> None:
    assert len(set(hashes([9, 1, 2, 3, 0, 1, 2, 3], [(1, 4), (5, 8)]))) == 1


def test_an_empty_sequence_has_no_spans() -> None:
    assert hashes([], []) == []


def test_a_long_sequence_is_hashed_alike_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(0).integers(0, 256, 300).tolist()
    short = hashes(codes, [(0, 300), (299, 300)])
    monkeypatch.setattr(span_hashes, "_KEPT", 64)
    kept = span_hashes._kept_powers.cache_info().currsize
    assert hashes(codes, [(0, 300), (299, 300)]) == short
    assert span_hashes._kept_powers.cache_info().currsize == kept
