"""Splits by the hash of a prompt."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.repeats import digest_texts
from fusionapp.domain.routing.splitting import PromptSplitter, Split, find_leaks, prompt_key

fractions = st.floats(0, 0.49)


def reference(prompt: str, test: float, validation: float, seed: int) -> str:
    """Written out: the seed keys the hash, its first 64 bits are a number in [0, 1), test lies lowest."""
    key = prompt_key(prompt).encode("utf-8", "surrogatepass")
    hashed = blake2b(key, digest_size=8, key=f"{seed}".encode(), salt=b"prompts").hexdigest()
    place = int(hashed, 16) / 16**16
    for split, end in (("test", test), ("validation", test + validation)):
        if place < end:
            return split
    return "train"


@given(st.text(), fractions, fractions, st.integers(0, 9))
def test_a_split_follows_from_the_hash(prompt: str, test: float, validation: float, seed: int) -> None:
    assert PromptSplitter(test, validation, seed).split(prompt) == reference(prompt, test, validation, seed)


@pytest.mark.parametrize(
    ("prompt", "split"),
    [("prompt 0", "test"), ("prompt 1", "train"), ("prompt 2", "train"), ("prompt 7", "validation")],
)
def test_splits_stay_what_they_were(prompt: str, split: str) -> None:
    """Whoever compares with an earlier run needs the same prompts there."""
    assert PromptSplitter(0.4, 0.3, 0).split(prompt) == split


@given(st.text(min_size=1), st.integers(0, 9))
def test_case_spaces_and_punctuation_do_not_part_prompts(prompt: str, seed: int) -> None:
    splitter = PromptSplitter(0.3, 0.3, seed)
    other = f"  {prompt}\n"
    assert splitter.split(prompt) == splitter.split(other)
    assert splitter.split("What is  the SUN?") == splitter.split("what is the sun")


def test_shares_are_met_within_three_deviations() -> None:
    splits = Counter(map(PromptSplitter(0.2, 0.1, 3).split, (f"prompt {n}" for n in range(20_000))))
    shares: dict[Split, float] = {"test": 0.2, "validation": 0.1, "train": 0.7}
    for split, fraction in shares.items():
        assert abs(splits[split] / 20_000 - fraction) < 3 * np.sqrt(fraction * (1 - fraction) / 20_000)


def test_a_larger_test_share_keeps_the_smaller_ones_prompts() -> None:
    prompts = [f"prompt {n}" for n in range(500)]
    small, large = (
        {prompt for prompt in prompts if PromptSplitter(share).split(prompt) == "test"}
        for share in (0.1, 0.3)
    )
    assert small < large


def test_another_seed_draws_other_prompts() -> None:
    prompts = [f"prompt {n}" for n in range(500)]
    first, second = (
        {prompt for prompt in prompts if PromptSplitter(0.3, seed=seed).split(prompt) == "test"}
        for seed in (0, 1)
    )
    assert 0.15 < len(first & second) / len(first) < 0.45


@pytest.mark.parametrize(("test", "validation"), [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.5), (0.6, 0.4)])
def test_fractions_that_leave_no_train_are_refused(test: float, validation: float) -> None:
    with pytest.raises(UsageError, match=r"is not in \[0, 1\)|leave nothing for train"):
        PromptSplitter(test, validation)


texts = st.lists(st.sampled_from([f"t{n}" for n in range(12)]), max_size=8)


@given(st.dictionaries(st.sampled_from(["train", "validation", "test", "extra"]), texts))
def test_leaks_are_what_two_loops_find(splits: dict[str, list[str]]) -> None:
    found = {
        (leak.split, leak.other): leak.rows.tolist()
        for leak in find_leaks({split: digest_texts(given) for split, given in splits.items()})
    }
    expected: dict[tuple[str, str], list[int]] = {}
    for split in ("train", "validation"):
        for other, theirs in splits.items():
            if other in (split, "train"):
                continue
            rows = [row for row, text in enumerate(splits.get(split, [])) if text in theirs]
            if rows:
                expected[split, other] = rows
    assert found == expected
