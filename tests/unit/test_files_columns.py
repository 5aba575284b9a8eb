from __future__ import annotations

from typing import Any

import pytest

from fusionapp.domain.columns import Place, format_label, layout, name_classes
from fusionapp.domain.errors import DatasetError, UsageError

PLACE = Place("a.csv", 4, 6)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("joy", "joy"),
        (" joy ", " joy "),
        (3, "3"),
        (-3, "-3"),
        (3.0, "3"),
        ("3.0", "3"),
        ("-3.0", "-3"),
        (3.5, "3.5"),
        ("3.50", "3.50"),
        ("1.0.0", "1.0.0"),
        ("03", "03"),
        (10**20, "1" + "0" * 20),
        (1e20, "1" + "0" * 20),
        (True, "true"),
        (False, "false"),
        ("True", "True"),
    ],
)
def test_labels_print_as_in_the_file(value: object, printed: str) -> None:
    assert format_label(value) == printed


@pytest.mark.parametrize("value", [None, "", " \t", float("nan"), "nan", "NaN", float("inf")])
def test_a_missing_label_names_place_and_way_out(value: object) -> None:
    with pytest.raises(
        DatasetError, match=r"^a\.csv, row 4 .*line 6, column 'y': the label is missing.*drop"
    ):
        layout("x", "y").example({"x": "t", "y": value}, PLACE)


@pytest.mark.parametrize("value", [[1], {"a": 1}, b"a"])
def test_a_label_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(DatasetError, match=f"got {type(value).__name__}"):
        layout("x", "y").example({"x": "t", "y": value}, PLACE)


@pytest.mark.parametrize(("value", "said"), [(None, "missing"), (float("nan"), "missing"), (5, "got int 5")])
def test_a_text_that_is_none_is_refused(value: object, said: str) -> None:
    with pytest.raises(DatasetError, match=f"column 'x': .*{said}"):
        layout("x", None).example({"x": value}, PLACE)


def test_blank_text_passes() -> None:
    assert layout("x", None).example({"x": " "}, PLACE).text == " "


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"U\+D83D"):
        layout("x", None).example({"x": "a\ud83d"}, PLACE)


def test_the_default_id_is_the_row_number() -> None:
    assert layout("x", None).example({"x": "t"}, PLACE).id == {"row": 4}


def test_id_columns_travel() -> None:
    example = layout("x", None, ["p", "q"]).example({"x": "t", "p": "n", "q": 7}, PLACE)
    assert example.id == {"p": "n", "q": 7}


def test_an_id_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(DatasetError, match="column 'p'"):
        layout("x", None, "p").example({"x": "t", "p": b"n"}, PLACE)


@pytest.mark.parametrize(
    "names",
    [["anger", "joy"], {0: "anger", 1: "joy"}, {"0": "anger", "1": "joy"}, {"anger": 0, "joy": 1}],
)
def test_class_names_name_integer_labels(names: Any) -> None:
    assert layout("x", "y", class_names=names).example({"x": "t", "y": 1.0}, PLACE).label == "joy"


def test_a_label_that_is_a_class_name_already_stays() -> None:
    assert layout("x", "y", class_names=["anger"]).example({"x": "t", "y": "anger"}, PLACE).label == "anger"


def test_a_label_without_a_name_is_refused() -> None:
    with pytest.raises(DatasetError, match="label '2' has no name among the 1"):
        layout("x", "y", class_names=["anger"]).example({"x": "t", "y": 2}, PLACE)


@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", ""], {"a": 0, "b": 0}, {0: "a", "0": "b"}, "abc", {0: [1]}]
)
def test_class_names_that_make_no_sense_are_refused(names: Any) -> None:
    with pytest.raises(UsageError, match=r"dataset\.class_names"):
        name_classes(names)


def test_a_missing_column_names_those_that_are_there() -> None:
    with pytest.raises(DatasetError, match="column 'x': no such column; the columns there are: 'a', 'b'"):
        layout("x", None).check(["a", "b"], Place("f"))


def test_a_column_named_twice_is_refused_only_where_it_is_read() -> None:
    layout("x", None).check(["x", "b", "b"], Place("f"))
    with pytest.raises(DatasetError, match="two columns have this name"):
        layout("x", None).check(["x", "x"], Place("f"))


def test_a_wrong_separator_is_guessed_at() -> None:
    with pytest.raises(DatasetError, match="separated by ';'"):
        layout("text").check(["text;label"], Place("f"))
