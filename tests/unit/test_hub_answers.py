"""Models' answers through the `datasets` library."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from fusionapp.adapters.hub_datasets import HubAnswerSource
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.answer_columns import answer_columns
from fusionapp.domain.routing.answers import FIRST, TIE
from fusionapp.domain.routing.rows import BattleRow


def saved(root: Path, rows: list[dict[str, object]], features: datasets.Features | None = None) -> Path:
    dataset = datasets.Dataset.from_list(rows, features=features)
    datasets.DatasetDict({"train": dataset}).save_to_disk(str(root / "saved"))
    return root / "saved"


def test_class_labels_are_read_by_name(tmp_path: Path) -> None:
    names = datasets.ClassLabel(names=["model_a", "model_b", "tie"])
    text = datasets.Value("string")
    features = datasets.Features({"prompt": text, "model_a": text, "model_b": text, "winner": names})
    rows: list[dict[str, object]] = [
        {"prompt": "p", "model_a": "a", "model_b": "b", "winner": winner} for winner in ("model_a", "tie")
    ]
    read = HubAnswerSource(saved(tmp_path, rows, features), answer_columns()).read("train")
    assert [row.outcome for row in read if isinstance(row, BattleRow)] == [FIRST, TIE]


def test_conversations_of_turns_hold_the_prompt(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    row: dict[str, object] = {
        "conversation_a": turns,
        "conversation_b": turns,
        "model_a": "a",
        "model_b": "b",
        "winner": "tie",
    }
    (read,) = HubAnswerSource(saved(tmp_path, [row]), answer_columns()).read("train")
    assert read.prompt == "hi"


def test_a_score_out_of_range_names_the_row(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"prompt": "p", "scores": {"a": score}} for score in (1.0, 2.0)]
    with pytest.raises(
        DatasetError, match=r"row 1 \(counted from 0\), column 'scores': score 2 of model 'a'"
    ):
        list(HubAnswerSource(saved(tmp_path, rows), answer_columns()).read("train"))


def test_columns_that_fit_nothing_are_listed(tmp_path: Path) -> None:
    place = saved(tmp_path, [{"prompt": "p", "gpt": 1.0}])
    with pytest.raises(DatasetError, match="the columns there are: 'prompt', 'gpt'"):
        list(HubAnswerSource(place, answer_columns()).read("train"))
    (read,) = HubAnswerSource(place, answer_columns(scores=["gpt"])).read("train")
    assert not isinstance(read, BattleRow)
    assert read.scores == {"gpt": 1.0}


def test_a_limit_is_at_least_one() -> None:
    with pytest.raises(UsageError, match=r"dataset.limit: expected at least 1"):
        HubAnswerSource("name", answer_columns(), limit=0)
