"""The Python API does what the commands do."""

from __future__ import annotations

import json
import tomllib
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call
from small_job import EXPERIMENT, Job

import fusionapp
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.domain.errors import ConfigurationError, DatasetError, UsageError
from fusionapp.entrypoints.experiment.load import Source, load_experiment
from fusionapp.entrypoints.reports import evaluation_json

PLAIN: dict[str, Any] = tomllib.loads(EXPERIMENT)


@pytest.mark.parametrize("kind", ["path", "text", "dict", "object", "run"])
def test_an_experiment_is_a_path_a_dict_an_object_or_a_run_directory(
    job: Path, finished: Job, kind: str
) -> None:
    with chdir(job):
        kinds: dict[str, Source] = {
            "path": Path("tiny.toml"),
            "text": "tiny.toml",
            "dict": PLAIN,
            "object": load_experiment("tiny.toml"),
            "run": Path("runs/tiny"),
        }
        experiment = kinds[kind]
        extraction = fusionapp.extract(experiment)
        assert [one.effort.rows for sets in extraction.sets.values() for one in sets] == [0] * 6
        training = fusionapp.train(experiment)
        assert training.reused
        assert evaluation_json(fusionapp.evaluate(experiment)) == finished.evaluated


def test_a_loaded_run_predicts_what_the_command_prints(finished: Job) -> None:
    texts = ["happy quick fox", "sad lonely rain", "numbers 0 1", "the day was for"]
    printed = call(finished.directory, "predict", "runs/tiny", stdin="\n".join(texts).encode()).lines
    with chdir(finished.directory):
        model = fusionapp.load("runs/tiny")
        found = model.predict(texts)
    for one, line in zip(found, printed, strict=True):
        assert (one.text, one.label) == (line["text"], line["label"])
        assert one.probabilities == pytest.approx(line["probabilities"])


def test_a_prediction_does_not_depend_on_the_batch(finished: Job) -> None:
    texts = [f"{word} fox {row}" for row, word in enumerate(["happy", "sad", "numbers"] * 4)]
    with chdir(finished.directory):
        model = fusionapp.load("runs/tiny")
        whole = model.predict(texts)
        for batch_size in (1, 5, 12):
            found = model.predict(texts, batch_size=batch_size)
            assert [one.label for one in found] == [one.label for one in whole]
            for one, other in zip(found, whole, strict=True):
                np.testing.assert_allclose(
                    list(one.probabilities.values()), list(other.probabilities.values()), atol=5e-3
                )


def test_predictions_come_as_the_texts_do(finished: Job) -> None:
    taken: list[str] = []

    def endless() -> Any:
        while True:
            taken.append("happy fox")
            yield taken[-1]

    with chdir(finished.directory):
        stream = fusionapp.load("runs/tiny/models/seed-0").stream(endless(), batch_size=4)
        assert next(stream).text == "happy fox"
    assert len(taken) == 4


def test_a_single_string_is_not_a_list_of_texts(finished: Job) -> None:
    with chdir(finished.directory):
        model = fusionapp.load("runs/tiny")
    with pytest.raises(UsageError, match=r"write \[text\]"):
        model.predict("happy fox")
    with pytest.raises(UsageError, match="batch_size 0"):
        model.predict(["happy fox"], batch_size=0)


def test_a_split_is_scored_once(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    score = TorchHeadScorer.score

    def counting(self: TorchHeadScorer, directories: Any, *rest: Any) -> Any:
        calls.append(len(directories))
        return score(self, directories, *rest)

    monkeypatch.setattr(TorchHeadScorer, "score", counting)
    quick = {**PLAIN, "evaluate": {"draws": 100, "costs": [1.0]}}
    with chdir(job):
        first = fusionapp.evaluate(quick)
        scored = len(calls)
        assert scored > 0
        assert evaluation_json(fusionapp.evaluate(quick)) == evaluation_json(first)
        assert len(calls) == scored
        fusionapp.evaluate(quick, overwrite=True)
        assert len(calls) == 2 * scored


def test_runs_go_where_they_are_told(fresh: Path, tmp_path: Path) -> None:
    lexical = {**PLAIN, "encoders": {"lexical": PLAIN["encoders"]["lexical"]}}
    with chdir(fresh):
        fusionapp.extract(lexical, runs=tmp_path / "mine", splits=["test"], limit=5)
    inventory = json.loads((tmp_path / "mine" / "tiny" / "embeddings.json").read_text(encoding="utf-8"))
    assert inventory["splits"]["test"]["rows"] == 5
    assert not (fresh / "runs").exists()


def test_the_environment_gives_the_default_of_the_storage_root(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDING_DIR", str(fresh / "elsewhere"))
    with chdir(fresh):
        fusionapp.extract({**PLAIN, "encoders": {"lexical": PLAIN["encoders"]["lexical"]}})
    assert (fresh / "elsewhere" / "npy").is_dir()


def test_errors_are_those_of_the_commands(fresh: Path) -> None:
    with chdir(fresh):
        with pytest.raises(ConfigurationError, match=r"train\.seeds"):
            fusionapp.train({**PLAIN, "train": {"seeds": 0}})
        with pytest.raises(UsageError, match="not trained"):
            fusionapp.evaluate(PLAIN)
        with pytest.raises(UsageError, match="neither a trained run nor a model"):
            fusionapp.load("runs/tiny")
        with pytest.raises(DatasetError, match=r"gone\.csv"):
            fusionapp.extract({**PLAIN, "dataset": {"train": "gone.csv"}})


def test_the_package_names_what_it_offers() -> None:
    assert set(dir(fusionapp)) == set(fusionapp.__all__)
    assert all(hasattr(fusionapp, name) for name in fusionapp.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = fusionapp.nope
