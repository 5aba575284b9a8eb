"""Experiments of ``kind = "route"``: what does not go together, and where it stands in the file."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints.experiment.load import load_any, load_experiment
from fusionapp.entrypoints.experiment.structure import structure_any, unstructure
from fusionapp.entrypoints.experiment.table import schema_rows
from fusionapp.entrypoints.routing.schema import RoutingExperiment

EXAMPLES = Path(__file__).parents[3] / "examples"
PLAIN: dict[str, Any] = {
    "task": {"kind": "route"},
    "dataset": {"train": "scores.jsonl"},
    "encoders": {"tiny": {"model": "minilm"}},
}


def problems(**changes: Any) -> list[str]:
    """Changes are laid over single keys of PLAIN: ``dataset__train`` is ``dataset.train``."""
    changed = deepcopy(PLAIN)
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


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("llm-router", "lora"),
        ("llm-router-qlora", "qlora"),
        ("llm-router-last-layers", "last_layers"),
        ("llm-router-bitfit", "bitfit"),
        ("llm-router-full", "full"),
    ],
)
def test_an_example_is_an_experiment_that_survives_the_round_trip(name: str, method: str) -> None:
    experiment = load_any(EXAMPLES / f"{name}.toml")
    assert isinstance(experiment, RoutingExperiment)
    assert experiment.name == name
    assert experiment.train.tune_encoder
    assert experiment.train.finetuning.method == method
    assert structure_any(unstructure(experiment)) == experiment


def test_plain_settings_have_no_problem() -> None:
    assert problems() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": {}}, "dataset.train: missing; name the training prompts"),
        ({"dataset": {"source": "huggingface"}}, "dataset.name: missing"),
        ({"dataset__source": "docstrings"}, "dataset.source: "),
        ({"dataset__score_range": [1.0, 1.0]}, "dataset.score_range: [1.0, 1.0] must rise"),
        ({"dataset__test_fraction": 1.0}, "dataset.test_fraction: "),
        ({"dataset__answer_tokens": 0.0}, "dataset.answer_tokens: "),
        ({"encoders": {}}, "encoders: none is named"),
        ({"encoders__tiny__query_prefix": "q: "}, "encoders.tiny.query_prefix: is for a search's queries"),
        ({"policy": {"min_quality": 0.5, "trade_off": 1.0}}, "policy.trade_off: does not go with"),
        ({"policy__min_quality": 1.5}, "policy.min_quality: "),
        ({"policy__max_cost": -1.0}, "policy.max_cost: "),
        ({"train__loss": "hinge"}, "train.loss: "),
        ({"train__hidden_dims": [0]}, "train.hidden_dims"),
        ({"train__finetuning": {"method": "prefix"}}, "train.finetuning.method: "),
        ({"fusion": {"kind": "gated"}}, "fusion: unknown key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_go_together_is_said_by_its_key(changes: dict[str, Any], said: str) -> None:
    assert any(line.startswith(said) for line in problems(**changes)), problems(**changes)


def test_all_problems_are_said_at_once() -> None:
    found = problems(
        dataset__score_range=[2.0, 1.0], encoders={}, policy={"min_quality": 0.1, "trade_off": 1.0}
    )
    assert [line.split(":")[0] for line in found] == ["encoders", "dataset.score_range", "policy.trade_off"]


def test_what_takes_classifications_alone_refuses_a_routing_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"task\.kind") as refusal:
        load_experiment(PLAIN)
    assert "\n" not in str(refusal.value)


def test_the_schema_lists_every_key_of_routing() -> None:
    rows = {row.key: row for row in schema_rows() if row.meaning.startswith("route: ")}
    wanted = {
        "task.kind": "'route'",
        "dataset.layout": "one of 'auto', 'mapping', 'wide', 'long', 'battles'",
        "dataset.score_range": "a list of 2 numbers",
        "train.base": "one of 'stack', 'none'",
        "policy.max_cost": "a number",
        "train.tune_encoder": "true or false",
    }
    assert {key: rows[key].type for key in wanted} == wanted
    assert rows["train.batch_size"].default == "64"


def test_every_key_of_a_resolved_routing_is_listed() -> None:
    listed = {row.key for row in schema_rows()}

    def walk(content: Any, path: str) -> None:
        for key, value in content.items():
            if isinstance(value, dict):
                walk(value, f"{path}{key}.")
            else:
                assert f"{path}{key}" in listed

    resolved = unstructure(structure_any(PLAIN))
    walk({key: value for key, value in resolved.items() if key != "encoders"}, "")
