from __future__ import annotations

import re
import unicodedata
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.routing import word_groups
from fusionapp.domain.routing.characters import KINDS
from fusionapp.domain.routing.features import FEATURES, fit_features, prompt_features, standard_features
from fusionapp.domain.routing.text_counts import count_texts

CODE = "Fix this:\n```python\ndef f(x):\n    return x_1[0];\n```\nSee https://docs.python.org"
MATHS = "What is \\frac{1}{2} + 3.5 >= x? Solve the equation, please! It cost $20 for Mary Smith."
CHOICE = "Q: Which of the following is not true?\nA) yes\nB) no\n- item\n2. thing\n\nAnswer: ____"
FOREIGN = "Как дела? 你好，世界。 Αλφα שלום नमस्ते 😀 der die das"
ODD = "\ud800 \x00\t\U0010ffff\u2028"
TEXTS = [CODE, MATHS, CHOICE, FOREIGN, ODD, "", "   \n\n"]


def value(text: str, name: str) -> float:
    column = [feature.name for feature in FEATURES].index(name)
    return float(prompt_features([text])[0, column])


def count(text: str, name: str) -> float:
    return float(np.expm1(value(text, name)))


def test_every_feature_has_its_own_name_and_a_meaning() -> None:
    names = [feature.name for feature in FEATURES]
    assert len(names) == len(set(names)) >= 44
    assert all(feature.meaning for feature in FEATURES)


def test_features_are_a_finite_float32_row_for_each_text() -> None:
    found = prompt_features(TEXTS)
    assert (found.shape, found.dtype) == ((len(TEXTS), len(FEATURES)), np.dtype(np.float32))
    assert np.isfinite(found).all()


def test_no_texts_have_no_rows() -> None:
    assert prompt_features([]).shape == (0, len(FEATURES))


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        (CODE, "lines", 5),
        (CODE, "code_lines", 5),  # ```python, def, return, the semicolon that ends its line, ```
        (CODE, "characters", len(CODE)),
        (MATHS, "numbers", 5),
        (MATHS, "latex", 1),
        (MATHS, "equations", 2),
        (MATHS, "question_marks", 1),
        (MATHS, "sentences", 4),
        (MATHS, "names", 2),
        (CHOICE, "options", 2),
        (CHOICE, "list_items", 2),
        (CHOICE, "roles", 2),
        (CHOICE, "paragraphs", 2),
        (CHOICE, "longest_line", len("Q: Which of the following is not true?")),
        (CHOICE, "longest_word", len("following")),
        (FOREIGN, "sentences", 2),
        ("if I tell NASA, then Bob", "names", 1),
    ],
)
def test_counts_are_those_a_reader_finds(text: str, name: str, expected: int) -> None:
    assert count(text, name) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "name", "characters"),
    [
        (CODE, "braces", "[]"),
        (CODE, "underscores", "_"),
        (MATHS, "digits", "0123456789"),
        (MATHS, "dollars", "$\\"),
        (MATHS, "operators", "+"),
        (MATHS, "capitals", "WSIMS"),
        (MATHS, "exclamations", "!"),
        (CHOICE, "parentheses", "()"),
        (CHOICE, "colons", ":"),
        (FOREIGN, "cyrillic", "Какдела"),
        (FOREIGN, "east_asian", "你好世界"),
        (FOREIGN, "greek", "Αλφα"),
        (FOREIGN, "arabic_hebrew", "שלום"),
        (FOREIGN, "indic", "नमस्ते"),
        (FOREIGN, "symbols", "😀"),
        (FOREIGN, "commas", "，"),
    ],
)
def test_shares_of_characters_agree_with_a_loop(text: str, name: str, characters: str) -> None:
    expected = sum(character in characters for character in text) / len(text)
    assert value(text, name) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        (MATHS, "question_words", 1),  # what
        (MATHS, "maths_words", 2),  # solve, equation
        (MATHS, "courtesy", 1),  # please
        (MATHS, "quantities", 1),  # cost
        (CHOICE, "negations", 2),  # not, no
        (CHOICE, "logic", 1),  # true
        (FOREIGN, "romance_german", 3),
        ("Don't I?", "negations", 1),
    ],
)
def test_shares_of_words_agree_with_a_readers_count(text: str, name: str, words: int) -> None:
    assert value(text, name) == pytest.approx(words / len(text.split()), rel=1e-5)


@pytest.mark.parametrize(("name", "text"), [("tabs", "a\tb"), ("urls", CODE), ("gaps", CHOICE)])
def test_presence_is_one_or_zero(name: str, text: str) -> None:
    assert value(text, name) == 1
    assert value("plain words", name) == 0


def test_letters_and_digits_are_those_of_pythons_unicode() -> None:
    """Over every character of the first planes: `str.isdecimal`, and the letters of all scripts together."""
    everything = "".join(map(chr, range(0x20000)))
    counts = count_texts([everything])
    assert counts.kind("digit")[0] == sum(map(str.isdecimal, everything))
    letters = counts.kind(
        "lower", "upper", "greek", "cyrillic", "arabic_hebrew", "indic", "east_asian", "other_letter"
    )
    assert letters[0] == sum(unicodedata.category(c)[0] in "LM" for c in everything)


@given(st.text(st.characters(), max_size=60))
def test_any_text_has_every_character_in_one_kind_and_finite_features(text: str) -> None:
    counts = count_texts([text])
    assert counts.kinds.sum() == len(text)
    assert (counts.kinds >= 0).all()
    assert counts.shape("number")[0] == len(re.findall(r"\d+", text))
    found = prompt_features([text])
    assert np.isfinite(found).all()
    assert (found >= 0).all()


@given(st.lists(st.text(st.characters(codec=None), max_size=20), min_size=1, max_size=6), st.data())
def test_a_texts_row_does_not_depend_on_its_neighbours(texts: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(texts) - 1))
    np.testing.assert_array_equal(prompt_features(texts)[place], prompt_features([texts[place]])[0])


@given(st.text(max_size=40))
def test_shares_lie_between_nothing_and_all(text: str) -> None:
    shares = [i for i, feature in enumerate(FEATURES) if not feature.meaning.startswith("ln(")]
    found = prompt_features([text])[0, shares]
    assert ((found >= 0) & (found <= 1)).all()


def test_groups_of_words_hold_what_can_be_found() -> None:
    for words in word_groups.GROUPS.values():
        assert all(re.fullmatch(r"[a-z]+", word) for word in words.split())
    assert len(KINDS) == len(set(KINDS))


def test_features_are_standardised_as_scikit_learn_does_and_cut_off() -> None:
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    train = rng.normal(3, 2, size=(100, 4)).astype(np.float32)
    train[:, 3] = 7  # constant in train
    other = np.vstack([rng.normal(3, 2, size=(5, 4)), np.full((1, 4), 1e6)]).astype(np.float32)
    other[:5, 3] = 7
    found = standard_features(other, fit_features(train))
    oracle = np.clip(StandardScaler().fit(train).transform(other), -5, 5)
    np.testing.assert_allclose(found, oracle, atol=1e-4)
    assert found[5].tolist() == [5, 5, 5, 5]


@pytest.mark.slow
def test_a_hundred_thousand_prompts_take_seconds() -> None:
    texts = [f"{i}. {CODE} {MATHS} {CHOICE}"[:300] for i in range(100_000)]
    started = perf_counter()
    prompt_features(texts)
    assert perf_counter() - started < 30
