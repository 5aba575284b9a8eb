from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from fusionapp.domain.errors import UsageError
from fusionapp.domain.templates import TextTemplate


def test_one_column_is_the_text() -> None:
    assert TextTemplate.of("text").join({"text": "a"}) == "a"


def test_several_columns_stand_one_a_line_by_default() -> None:
    assert TextTemplate.of(["title", "abstract"]).join({"title": "T", "abstract": "A"}) == "T\nA"


def test_a_template_joins_columns() -> None:
    template = TextTemplate.of(["title", "abstract"], "{title}. {abstract}")
    assert template.join({"title": "T", "abstract": "A"}) == "T. A"


def test_a_doubled_brace_is_a_literal_brace() -> None:
    assert TextTemplate.of("a", "{{{a}}}").join({"a": "x"}) == "{x}"


@given(st.text(), st.text())
def test_braces_in_values_are_never_fields(title: str, abstract: str) -> None:
    template = TextTemplate.of(["title", "abstract"], "{title}|{abstract}")
    assert template.join({"title": title, "abstract": abstract}) == f"{title}|{abstract}"


@pytest.mark.parametrize(
    "field", ["{a.__class__}", "{a[0]}", "{a!r}", "{a:>9}", "{}", "{0}", "{b}", "{a:{a}}"]
)
def test_only_plain_fields_are_taken(field: str) -> None:
    with pytest.raises(UsageError, match="the fields there are"):
        TextTemplate.of("a", field)


@pytest.mark.parametrize("template", ["{a", "a}"])
def test_a_template_with_an_open_brace_is_refused(template: str) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        TextTemplate.of("a", template)


def test_a_template_that_leaves_out_a_column_is_refused() -> None:
    with pytest.raises(UsageError, match=r"leaves out \['b'\]"):
        TextTemplate.of(["a", "b"], "{a}")


@pytest.mark.parametrize("columns", [[], "", ["a", "a"], ["a", ""]])
def test_columns_that_make_no_text_are_refused(columns: list[str] | str) -> None:
    with pytest.raises(UsageError, match=r"dataset\.text"):
        TextTemplate.of(columns)
