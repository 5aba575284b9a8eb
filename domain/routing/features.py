"""Features of a prompt, from its text alone: one table of names, meanings and functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.routing.joined_texts import Column
from fusionapp.domain.routing.text_counts import TextCounts, count_texts
from fusionapp.domain.standardization import Standardization

_FARTHEST = 5.0
"""Standard deviations beyond which a feature is cut off: one absurd prompt must not drive the network."""


@attrs.frozen
class Feature:
    """One feature.

    Attributes:
        name: short and unique.
        meaning: what it is; "ln(1 + ...)" of counts, else a share in [0, 1] or 0 or 1.
        of: from counts of texts to (texts,) float64.
    """

    name: str
    meaning: str
    of: Callable[[TextCounts], Column]


def _log(count: Callable[[TextCounts], Column]) -> Callable[[TextCounts], Column]:
    return lambda counts: np.log1p(count(counts))


def _of_characters(count: Callable[[TextCounts], Column]) -> Callable[[TextCounts], Column]:
    return lambda counts: count(counts) / np.maximum(counts.characters, 1)


def _of_words(group: str) -> Callable[[TextCounts], Column]:
    """A word between blanks may hold several words of letters, so the share is cut at 1."""
    return lambda counts: np.minimum(counts.group(group) / np.maximum(counts.words, 1), 1.0)


def _present(count: Callable[[TextCounts], Column]) -> Callable[[TextCounts], Column]:
    return lambda counts: (count(counts) > 0).astype(np.float64)


def _word_length(counts: TextCounts) -> Column:
    blanks = counts.kind("space", "newline", "tab")
    return np.log1p(np.maximum(counts.characters - blanks, 0) / np.maximum(counts.words, 1))


FEATURES: tuple[Feature, ...] = (
    # lengths
    Feature("characters", "ln(1 + code points)", _log(lambda c: c.characters)),
    Feature("words", "ln(1 + pieces between blanks)", _log(lambda c: c.words)),
    Feature("lines", "ln(1 + line ends)", _log(lambda c: c.kind("newline"))),
    Feature("paragraphs", "ln(1 + paragraphs, parted by blank lines)", _log(lambda c: c.paragraphs)),
    Feature(
        "sentences",
        "ln(1 + full stops, question and exclamation marks)",
        _log(lambda c: c.kind("stop", "question_mark", "exclamation_mark")),
    ),
    Feature("word_length", "ln(1 + mean characters of a word)", _word_length),
    Feature("longest_word", "ln(1 + characters of the longest word)", _log(lambda c: c.longest)),
    Feature("longest_line", "ln(1 + characters of the longest line)", _log(lambda c: c.longest_line)),
    # questions and instructions
    Feature("question_marks", "ln(1 + question marks)", _log(lambda c: c.kind("question_mark"))),
    Feature("question_words", "what, who, how, ... of the words", _of_words("question")),
    Feature("instructions", "write, explain, list, ... of the words", _of_words("instruction")),
    Feature("constraints", "must, only, exactly, ... of the words", _of_words("constraint")),
    Feature("formats", "json, table, paragraphs, ... of the words", _of_words("format")),
    Feature("courtesy", "please, could, thanks, ... of the words", _of_words("courtesy")),
    Feature("persons", "I, my, you, ... of the words", _of_words("person")),
    Feature(
        "exclamations",
        "exclamation marks, of characters",
        _of_characters(lambda c: c.kind("exclamation_mark")),
    ),
    # code
    Feature("code_words", "def, array, function, ... of the words", _of_words("code")),
    Feature(
        "code_lines",
        "ln(1 + lines that start or end as code does)",
        _log(lambda c: c.shape("code_start") + c.shape("code_end")),
    ),
    Feature(
        "braces", "braces and brackets, of characters", _of_characters(lambda c: c.kind("brace", "bracket"))
    ),
    Feature("underscores", "underscores, of characters", _of_characters(lambda c: c.kind("underscore"))),
    Feature("tabs", "whether a tab stands in it", _present(lambda c: c.kind("tab"))),
    Feature("urls", "whether a web address stands in it", _present(lambda c: c.shape("url"))),
    # maths
    Feature("maths_words", "sum, probability, solve, ... of the words", _of_words("maths")),
    Feature("quantities", "total, each, dollars, ... of the words", _of_words("quantity")),
    Feature("digits", "digits, of characters", _of_characters(lambda c: c.kind("digit"))),
    Feature("numbers", "ln(1 + runs of digits)", _log(lambda c: c.shape("number"))),
    Feature("operators", "+, *, /, %, ... of characters", _of_characters(lambda c: c.kind("operator"))),
    Feature("equations", "ln(1 + signs of equality and order)", _log(lambda c: c.kind("relation"))),
    Feature("latex", "ln(1 + commands of LaTeX)", _log(lambda c: c.shape("latex"))),
    Feature(
        "dollars",
        "dollar signs and backslashes, of characters",
        _of_characters(lambda c: c.kind("dollar", "backslash")),
    ),
    Feature("greek", "Greek letters, of characters", _of_characters(lambda c: c.kind("greek"))),
    # subjects
    Feature("logic", "if, because, suppose, ... of the words", _of_words("logic")),
    Feature("negations", "not, never, except, ... of the words", _of_words("negation")),
    Feature("science", "energy, atom, cell, ... of the words", _of_words("science")),
    Feature("medicine_law", "patient, court, ... of the words", _of_words("medicine_law")),
    Feature("world", "year, president, film, ... of the words", _of_words("world")),
    Feature("creative", "story, poem, imagine, ... of the words", _of_words("creative")),
    Feature("names", "ln(1 + capitalised words within sentences)", _log(lambda c: c.shape("name"))),
    # structure
    Feature(
        "list_items", "ln(1 + lines that start as an item of a list)", _log(lambda c: c.shape("list_item"))
    ),
    Feature(
        "options", "ln(1 + lines that start as an option: A), B., ...)", _log(lambda c: c.shape("option"))
    ),
    Feature("choice_words", "options, correct, best, ... of the words", _of_words("choice")),
    Feature(
        "roles", "ln(1 + lines that start with who speaks: Q:, User:, ...)", _log(lambda c: c.shape("role"))
    ),
    Feature("gaps", "whether a gap is to be filled", _present(lambda c: c.shape("gap"))),
    Feature("quotes", "quotation marks, of characters", _of_characters(lambda c: c.kind("quote"))),
    Feature("parentheses", "parentheses, of characters", _of_characters(lambda c: c.kind("parenthesis"))),
    Feature("commas", "commas, of characters", _of_characters(lambda c: c.kind("comma"))),
    Feature("colons", "colons and semicolons, of characters", _of_characters(lambda c: c.kind("colon"))),
    Feature("hyphens", "hyphens and dashes, of characters", _of_characters(lambda c: c.kind("hyphen"))),
    # language
    Feature("capitals", "Latin capitals, of characters", _of_characters(lambda c: c.kind("upper"))),
    Feature("english", "the, of, and, ... of the words", _of_words("english")),
    Feature("romance_german", "de, la, und, ... of the words", _of_words("romance_german")),
    Feature("cyrillic", "Cyrillic letters, of characters", _of_characters(lambda c: c.kind("cyrillic"))),
    Feature(
        "arabic_hebrew",
        "Arabic and Hebrew letters, of characters",
        _of_characters(lambda c: c.kind("arabic_hebrew")),
    ),
    Feature("indic", "letters of India's scripts, of characters", _of_characters(lambda c: c.kind("indic"))),
    Feature(
        "east_asian",
        "Chinese, Japanese and Korean characters, of characters",
        _of_characters(lambda c: c.kind("east_asian")),
    ),
    Feature(
        "symbols",
        "emoji, other symbols and control characters, of characters",
        _of_characters(lambda c: c.kind("symbol", "other")),
    ),
)


def prompt_features(texts: Sequence[str]) -> NDArray[np.float32]:
    """(prompts, features) float32, finite, in the order of `FEATURES`; a text's row depends on that text alone."""
    counts = count_texts(texts)
    found = np.empty((len(FEATURES), len(texts)), dtype=np.float32)
    for row, feature in zip(found, FEATURES, strict=True):
        row[:] = feature.of(counts)
    return np.ascontiguousarray(found.T)


def fit_features(train: NDArray[np.float32]) -> Standardization:
    """Means and deviations of features (prompts, features) of train, and of train only."""
    return Standardization.fit(train[:, None])


def standard_features(features: NDArray[np.float32], fitted: Standardization) -> NDArray[np.float32]:
    """(prompts, features) in standard deviations of train, cut off at 5 on either side."""
    standard: NDArray[np.float32] = fitted.transform(features[:, None])[:, 0]
    return np.clip(standard, -_FARTHEST, _FARTHEST)
