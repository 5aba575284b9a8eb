"""`fusionapp schema` says everything about every key."""

from __future__ import annotations

from fusionapp.entrypoints.experiment.schema import Experiment
from fusionapp.entrypoints.experiment.structure import ENCODERS, unstructure
from fusionapp.entrypoints.experiment.table import schema_rows


def test_every_key_has_a_type_a_default_and_a_meaning() -> None:
    for row in schema_rows():
        assert row.key
        assert row.type
        assert row.default
        assert len(row.meaning) > 3, row.key


def test_every_key_of_an_experiment_is_listed() -> None:
    listed = {row.key for row in schema_rows()}
    listed |= {key.split(".NAME.")[0] for key in listed} | {key.rpartition(".")[0] for key in listed}
    for table, content in unstructure(Experiment()).items():
        if isinstance(content, dict):
            assert {f"{table}.{key}" for key in content} <= listed
        else:
            assert table in listed
    assert {"encoders.NAME.model", "encoders.NAME.layers", "encoders.NAME.word_ngrams"} <= listed
    assert {"train.sources.NAME.normalize", "train.sources.NAME.dropout"} <= listed
    assert {"train.finetuning.method", "train.tuning.learning_rate"} <= listed


def test_types_and_defaults_read_as_people_say_them() -> None:
    rows = {row.key: row for row in reversed(schema_rows())}  # of several adapters' keys, the first
    assert (rows["train.seeds"].type, rows["train.seeds"].default) == ("a whole number", "5")
    assert rows["train.hidden_dims"].type == "a list of whole numbers"
    assert rows["encoders.NAME.layers"].type == "'all' or a list of whole numbers"
    assert rows["encoders.NAME.model"].default == "required"
    assert rows["dataset.test"].default == "none"
    assert rows["fusion.residual"].default == "false"
    assert rows["encoders.NAME.adapter"].type == f"one of {', '.join(map(repr, ENCODERS))}"
    assert rows["encoders.NAME.word_ngrams"].meaning.startswith("lexical: ")
