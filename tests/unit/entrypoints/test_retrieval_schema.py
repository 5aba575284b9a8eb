"""Experiments of ``kind = "retrieve"``: what does not go together, and where it stands in the file."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints.experiment.load import load_any, load_experiment, read_file
from fusionapp.entrypoints.experiment.structure import structure_any, unstructure
from fusionapp.entrypoints.experiment.table import schema_rows
from fusionapp.entrypoints.retrieval.schema import JudgeSettings, RetrievalExperiment

EXAMPLES = Path(__file__).parents[3] / "examples"
ASTRO = read_file(EXAMPLES / "astro-retrieval.toml")
PLAIN: dict[str, Any] = {
    "task": {"kind": "retrieve"},
    "dataset": {"train": "pairs.jsonl"},
    "encoders": {"tiny": {"model": "minilm"}},
}


def problems(content: dict[str, Any], **changes: Any) -> list[str]:
    """Changes are laid over single keys: ``dataset__topics`` is ``dataset.topics``."""
    changed = deepcopy(content)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = changed
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    try:
        structure_any(changed)
    except ConfigurationError as error:
        return list(error.problems)
    return []


@pytest.mark.parametrize("name", ["astro-retrieval.toml", "arxiv-retrieval.toml"])
def test_an_example_is_an_experiment_that_survives_the_round_trip(name: str) -> None:
    experiment = load_any(EXAMPLES / name)
    assert isinstance(experiment, RetrievalExperiment)
    assert structure_any(unstructure(experiment)) == experiment


def test_stages_of_a_schedule_are_structured() -> None:
    experiment = structure_any(ASTRO)
    assert isinstance(experiment, RetrievalExperiment)
    composition = experiment.train.composition
    assert composition is not None
    assert [stage.until for stage in composition.schedule] == [0.3, 1.0]
    assert composition.schedule[1].hard == 0.25


def test_wrong_keys_of_a_stage_are_reported_with_their_place_beside_all_others() -> None:
    content = deepcopy(ASTRO)
    stages = content["train"]["composition"]["schedule"]
    stages[0]["main"] = "much"
    stages[1]["untill"] = 0.5
    content["train"]["mining"]["rounds"] = -1
    content["train"]["composition"]["soft"] = "hep-th"
    assert problems(content) == [
        "train.composition.soft: expected a list of strings, got 'hep-th'",
        "train.composition.schedule[0].main: expected a number, got 'much'",
        "train.composition.schedule[1].untill: unknown key; did you mean 'until'?",
        "train.mining.rounds: must be >= 0: -1",
    ]


def test_a_share_out_of_range_within_a_stage_is_reported() -> None:
    content = deepcopy(ASTRO)
    content["train"]["composition"]["schedule"][0]["until"] = 2.0
    (line,) = [line for line in problems(content) if ".until" in line]
    assert line.startswith("train.composition.schedule[0].until: ")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("early", "train.composition.schedule: expected a list of tables, got 'early'"),
        ([3], "train.composition.schedule[0]: expected a table, got 3"),
        ([], "train.composition.schedule: no stage; give at least one"),
    ],
)
def test_a_schedule_that_is_none_is_refused(schedule: Any, said: str) -> None:
    assert said in problems(ASTRO, train__composition__schedule=schedule)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": {}}, "dataset.train: missing"),
        ({"dataset": {"validation": "v.jsonl"}}, "dataset.train: missing"),
        ({"dataset": {"source": "beir"}}, "dataset.name: missing; name the directory of the beir data"),
        ({"dataset__split_by": "date"}, "dataset.date: missing"),
        ({"dataset__topics": ["a", "b"]}, "dataset.topics: 2 topics for 1 files of train"),
        ({"encoders": {}}, "encoders: none can be tuned"),
        ({"encoders__tiny__quantization": "int8"}, "encoders.tiny.quantization: "),
        ({"encoders__tiny__layers": [-1, -2]}, "encoders.tiny.layers: a search compares one vector"),
        ({"encoders__tiny__layers": [3]}, "encoders.tiny.layers: [3], but what is tuned is the last"),
        ({"train__mask_same_label": True}, "train.mask_same_label: needs labels"),
        (
            {"train__mask_same_label": True, "dataset__label": "topic", "dataset__source": "arxiv"},
            "train.mask_same_label: needs labels",
        ),
        ({"encoders__bm25": {"model": "minilm"}}, "encoders.bm25: is the name of a control"),
        ({"encoders__words": {"adapter": "lexical"}}, "encoders.words: words are ranked by"),
        ({"train__optimizer_batch": 100}, "train.optimizer_batch: 100 is no multiple"),
        (
            {"train__mining": {"rounds": 1}, "train__finetuning": {"method": "lora", "save": "adapter"}},
            "train.finetuning.save: an adapter of a round after mining",
        ),
        ({"evaluate__metrics": ["hits@3"]}, "evaluate.metrics: "),
        ({"evaluate__metrics": []}, "evaluate.metrics: "),
        ({"train__composition": {"soft": ["x"]}}, "train.composition.main: missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_said_by_its_key(changes: dict[str, Any], said: str) -> None:
    assert any(line.startswith(said) for line in problems(PLAIN, **changes)), problems(PLAIN, **changes)


@pytest.mark.parametrize(
    ("settings", "reach"),
    [
        ({"depth": 50}, 100),
        ({"depth": 50, "metrics": ("mrr@10", "map")}, 50),
        ({"metrics": ("recall@2000", "ndcg@10")}, 2000),
        ({"metrics": ("map",)}, 1000),
    ],
)
def test_rankings_are_kept_as_far_down_as_metrics_look(settings: dict[str, Any], reach: int) -> None:
    assert JudgeSettings(**settings).reach == reach


def test_plain_settings_have_no_problem() -> None:
    assert problems(PLAIN) == []


def test_what_takes_classifications_alone_refuses_a_retrieval_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"task\.kind") as refusal:
        load_experiment(PLAIN)
    assert "\n" not in str(refusal.value)


def test_the_schema_lists_every_key_of_retrieval() -> None:
    rows = {row.key: row for row in schema_rows() if row.meaning.startswith("retrieve: ")}
    wanted = {
        "task.kind": "'retrieve'",
        "dataset.query": "a string or a list of strings",
        "train.mining.rounds": "a whole number",
        "train.composition.main": "a list of strings",
        "train.composition.schedule[].until": "a number",
        "index.kind": "one of 'flat', 'hnsw', 'ivfpq', 'usearch', 'numpy'",
        "evaluate.metrics": "a list of strings",
    }
    assert {key: rows[key].type for key in wanted} == wanted
    # One table for every task that tunes encoders, and so listed once.
    (method,) = (row for row in schema_rows() if row.key == "train.finetuning.method")
    assert method.type == "one of 'full', 'last_layers', 'bitfit', 'lora', 'qlora'"
    assert rows["train.composition.main"].default == "required"
    assert rows["train.seeds"].default == "1"


def test_the_schema_says_keys_that_tasks_share_once() -> None:
    keys = [row.key for row in schema_rows()]
    assert keys.count("storage.root") == 1
    assert keys.count("extract.executor") == 1
    assert keys.count("train.epochs") == 3


def test_every_key_of_a_resolved_retrieval_is_listed() -> None:
    listed = {row.key for row in schema_rows()}
    experiment = structure_any(ASTRO)

    def walk(content: Any, path: str) -> None:
        for key, value in content.items():
            here = f"{path}{key}"
            if isinstance(value, dict):
                walk(value, f"{here}.")
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                walk(value[0], f"{here}[].")
            else:
                assert here in listed

    walk({key: value for key, value in unstructure(experiment).items() if key != "encoders"}, "")
