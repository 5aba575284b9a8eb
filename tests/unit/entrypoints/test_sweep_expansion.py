"""A sweep file becomes cells, each an ordinary experiment, and every problem is reported at its path."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints.experiment.names import NAME_PATTERN
from fusionapp.entrypoints.experiment.structure import structure, unstructure
from fusionapp.entrypoints.sweep.cells import Cell
from fusionapp.entrypoints.sweep.expansion import expand, load_sweep
from fusionapp.entrypoints.sweep.names import LONGEST, name_cells
from fusionapp.entrypoints.sweep.schema import KEYS, SWEEP_ROWS

LETTERS = {name: {"model": name} for name in "abc"}


def plain(sweep: Any, **tables: Any) -> dict[str, Any]:
    """A sweep over three encoders."""
    return {"name": "s", "dataset": {"train": "train.csv"}, "encoders": LETTERS, "sweep": sweep, **tables}


def cells(sweep: Mapping[str, Any], **tables: Any) -> list[Cell]:
    """The cells that were asked for."""
    return [cell for cell in expand(plain(sweep, **tables)).cells if cell.role == "cell"]


def problems(sweep: Any, **tables: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        expand(plain(sweep, **tables))
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("encoders", "sets"),
    [
        ("singles", ["a", "b", "c"]),
        ("pairs", ["ab", "ac", "bc"]),
        ("all", ["abc"]),
        ([["c", "a"]], ["ca"]),
        (["pairs", "singles"], ["ab", "ac", "bc", "a", "b", "c"]),
        (["pairs", ["a", "b"], ["a", "b", "c"], "all"], ["ab", "ac", "bc", "abc"]),
    ],
)
def test_encoder_sets_come_from_words_and_lists(encoders: Any, sets: list[str]) -> None:
    assert ["".join(cell.encoders) for cell in cells({"encoders": encoders, "fusions": ["sum"]})] == sets


def test_encoders_of_a_cell_stand_in_the_order_of_the_set() -> None:
    (cell,) = cells({"encoders": [["c", "a"]]})
    assert list(cell.experiment.encoders) == ["c", "a"]


def test_an_empty_sweep_is_every_encoder_by_the_experiments_own_settings() -> None:
    (cell,) = cells({}, fusion={"kind": "gated", "residual": True}, train={"seeds": 2})
    assert (cell.name, cell.fusion, cell.train) == ("a-b-c-gated-residual", "gated residual", "")
    assert (cell.experiment.fusion.kind, cell.experiment.train.seeds) == ("gated", 2)


def test_every_combination_is_a_cell() -> None:
    found = cells(
        {
            "encoders": "pairs",
            "fusions": ["concat", {"kind": "quaternion", "residual": True}],
            "datasets": {"r8": {"train": "r8.csv"}, "mr": {"train": "mr.csv"}},
            "train": [{}, {"learning_rate": 1e-4}],
        }
    )
    assert len(found) == 3 * 2 * 2 * 2
    assert found[-1].name == "mr-b-c-quaternion-residual-learning_rate-0.0001"
    last = found[-1].experiment
    assert (last.dataset.train, last.fusion.residual, last.train.learning_rate) == ("mr.csv", True, 1e-4)


def test_a_choice_is_laid_over_the_shared_table() -> None:
    found = cells(
        {
            "fusions": [{"kind": "moe", "experts": 2}],
            "datasets": {"r8": {"train": "r8.csv"}},
            "train": [{"seeds": 3}],
        },
        dataset={"text": "body", "train": "train.csv"},
        fusion={"bag_width": 7},
        train={"epochs": 4},
    )
    (one,) = (cell.experiment for cell in found)
    assert (one.dataset.text, one.dataset.train) == ("body", "r8.csv")
    assert (one.fusion.bag_width, one.fusion.experts) == (7, 2)
    assert (one.train.epochs, one.train.seeds) == (4, 3)


def test_controls_come_once_for_a_dataset_and_before_what_is_held_against_them() -> None:
    found = expand(
        plain({"encoders": "pairs", "fusions": ["sum", "hadamard"], "train": [{}, {"seeds": 1}]}, seed=3)
    ).cells
    singles = [cell.name for cell in found if cell.role == "single source"]
    assert singles == [f"{name}-concat{train}" for name in "abc" for train in ("", "-seeds-1")]
    svms = [cell.name for cell in found if cell.role == "linear_svm"]
    assert svms == ["a-b-linear_svm", "a-c-linear_svm", "b-c-linear_svm"]
    place = {cell.name: position for position, cell in enumerate(found)}
    for cell in found:
        if cell.role == "cell":
            assert all(place[f"{name}-concat"] < place[cell.name] for name in cell.encoders)
            assert place["-".join([*cell.encoders, "linear_svm"])] < place[cell.name]


def test_a_single_source_that_was_asked_for_is_no_second_run() -> None:
    found = expand(plain({"encoders": ["singles", ["a", "b"]], "fusions": ["concat"]})).cells
    assert len({cell.name for cell in found}) == len(found)
    assert [cell.role for cell in found if cell.name == "a-concat"] == ["cell"]


def test_single_sources_know_nothing_of_the_fusions_options() -> None:
    found = expand(plain({"fusions": ["hadamard"]}, fusion={"kind": "sum", "residual": True})).cells
    fusions = {cell.experiment.fusion for cell in found if cell.role == "single source"}
    assert [(fusion.kind, fusion.residual) for fusion in fusions] == [("concat", False)]


def test_without_baselines_there_are_no_controls() -> None:
    found = expand(plain({"encoders": "pairs"}, evaluate={"baselines": False})).cells
    assert {cell.role for cell in found} == {"cell"}


def test_no_cell_trains_controls_of_its_own() -> None:
    assert not any(cell.experiment.evaluate.baselines for cell in expand(plain({"encoders": "pairs"})).cells)


def test_settings_of_a_source_reach_the_cells_that_have_it() -> None:
    found = cells({"encoders": "pairs"}, train={"sources": {"a": {"dropout": 0.1}}})
    assert [list(cell.experiment.train.sources) for cell in found] == [["a"], ["a"], []]


def test_a_cell_is_an_experiment_that_can_be_written_down_and_read() -> None:
    for cell in expand(plain({"encoders": "pairs", "train": [{"hidden_dims": [8, 4]}]})).cells:
        assert structure(unstructure(cell.experiment)) == cell.experiment


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"kind": "moe", "expert_dim": 8, "experts": 2}, "moe-experts-2-expert_dim-8"),
        ({"kind": "cooccurrence", "normalize": False}, "cooccurrence-no-normalize"),
        ({"kind": "cooccurrence", "sigma": 0.25, "power": "paper"}, "cooccurrence-power-paper-sigma-0.25"),
    ],
)
def test_options_are_named_in_the_order_of_the_schema(option: dict[str, Any], name: str) -> None:
    (cell,) = cells({"encoders": [["a", "b"]], "fusions": [option]})
    assert cell.name == f"a-b-{name}"


def test_names_that_would_be_one_are_told_apart() -> None:
    odd = {name: {"model": name} for name in ("a", "b-c", "a-b", "c", "A")}
    found = cells({"encoders": [["a", "b-c"], ["a-b", "c"], ["A", "b-c"]]}, encoders=odd)
    assert len({cell.name.casefold() for cell in found}) == 3


def test_names_are_the_same_whatever_else_is_swept() -> None:
    alone = {cell.name for cell in cells({"encoders": [["a", "b"]]})}
    assert alone <= {cell.name for cell in cells({"encoders": "pairs", "train": [{}, {"seeds": 2}]})}


def test_every_name_is_that_of_a_directory_below_the_sweeps() -> None:
    long = {"e" * 90: {"model": "x"}, "f" * 90: {"model": "y"}}
    sources = {"sources": {"e" * 90: {"dropout": 0.1}}}
    found = expand(
        plain({"train": [{"device": "cuda:0"}, {"device": "../../up"}, sources]}, encoders=long)
    ).cells
    assert len({cell.name for cell in found}) == len(found)
    for cell in found:
        assert re.fullmatch(NAME_PATTERN, cell.name)
        assert len(cell.name) <= LONGEST
    assert name_cells([["..", "/etc"], ["../up"]]) == ["etc", "up"]


def test_every_problem_is_reported_at_once_with_its_path() -> None:
    found = problems(
        {
            "encoders": ["pair", ["a", "d"], ["b", "b"], 3, []],
            "fusions": ["conct", {"kind": "concat", "residual": True}, {"kind": "sum", "dims": 3}, 7],
            "datasets": {"r8": {"trane": "x"}, "../up": {}, "mr": 3},
            "train": [{"learning_rate": "fast"}, {"validation_fraction": 0.2}, {}],
            "fusion": "sum",
        },
        train={"seeds": 0},
    )
    assert {line.split(": ")[0] for line in found} == {
        "sweep.fusion",
        "sweep.encoders.0",
        "sweep.encoders.1",
        "sweep.encoders.2",
        "sweep.encoders.3",
        "sweep.encoders.4",
        "sweep.fusions.0.kind",
        "sweep.fusions.1.residual",
        "sweep.fusions.2.dims",
        "sweep.fusions.3",
        "sweep.datasets.r8.trane",
        "sweep.datasets.../up",
        "sweep.datasets.mr",
        "sweep.train.0.learning_rate",
        "sweep.train.1.validation_fraction",
        "train.seeds",
    }
    assert "sweep.encoders.1: no encoder is called 'd'; known are a, b, c" in found
    assert "sweep.fusion: unknown key; did you mean 'fusions'?" in found


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        (None, "sweep: missing"),
        ("pairs", "sweep: expected a table, got 'pairs'"),
        ({"fusions": []}, "sweep.fusions: expected a list such as"),
        ({"fusions": "concat"}, "sweep.fusions: expected a list such as"),
        ({"train": {}}, "sweep.train: expected a list such as"),
        ({"datasets": []}, "sweep.datasets: expected tables such as"),
        ({"encoders": []}, "sweep.encoders: is empty"),
        ({"encoders": "couples"}, "sweep.encoders: expected 'singles', 'pairs', 'all' or a list"),
    ],
)
def test_a_malformed_axis_says_what_was_expected(sweep: Any, said: str) -> None:
    (line,) = problems(sweep)
    assert line.startswith(said)


def test_pairs_need_two_encoders() -> None:
    (line,) = problems({"encoders": "pairs"}, encoders={"a": {"model": "a"}})
    assert line == "sweep.encoders: 'pairs' needs two encoders; the file names 1"


def test_a_sweep_without_a_dataset_says_so_once() -> None:
    found = problems({"encoders": "pairs", "train": [{}, {"seeds": 2}]}, dataset={})
    assert found == ['dataset.train: missing; name the training file, such as train = "train.csv"']


@pytest.mark.parametrize("key", ["folds", "shots"])
def test_cells_are_not_judged_by_folds_or_draws(key: str) -> None:
    split = {"train": "a.csv", "test": "b.csv"}
    assert (
        f"dataset.{key}: a sweep judges its cells on one test split"
        in problems({}, dataset={**split, key: 4})[0]
    )
    found = problems({"datasets": {"r8": {**split, key: 4}}})
    assert found[0].startswith(f"sweep.datasets.r8.{key}: ")


@pytest.mark.parametrize("suffix", [".toml", ".json", ".yaml"])
def test_a_sweep_is_read_from_toml_json_and_yaml_and_overridden(tmp_path: Path, suffix: str) -> None:
    content = plain({"encoders": "pairs", "fusions": ["sum"]})
    toml = (
        'name = "s"\n[dataset]\ntrain = "train.csv"\n[encoders]\n'
        'a = {model = "a"}\nb = {model = "b"}\nc = {model = "c"}\n'
        '[sweep]\nencoders = "pairs"\nfusions = ["sum"]\n'
    )
    text = {".toml": toml, ".json": json.dumps(content), ".yaml": yaml.safe_dump(content, sort_keys=False)}
    path = tmp_path / f"sweep{suffix}"
    path.write_text(text[suffix], encoding="utf-8")
    assert load_sweep(path).cells == expand(content).cells
    found = load_sweep(path, ["sweep.encoders=all", "train.seeds=2"], device="cpu").cells[-1]
    assert (found.name, found.experiment.train.seeds) == ("a-b-c-sum", 2)
    assert found.experiment.train.device == "cpu"
    with pytest.raises(UsageError, match="no such experiment file"):
        load_sweep(tmp_path / "gone.toml")


def test_the_schema_lists_every_key_of_a_sweep() -> None:
    assert [row.key.split(".")[1] for row in SWEEP_ROWS] == list(KEYS)
