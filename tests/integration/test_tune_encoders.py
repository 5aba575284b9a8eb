"""`train.tune_encoders` from the file to the prediction."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from command_line import call
from small_job import EXPERIMENT, write_job, write_rows

import fusionapp
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.domain.errors import ConfigurationError, UsageError
from fusionapp.entrypoints import api
from fusionapp.entrypoints.explanations import explain
from fusionapp.entrypoints.tuned_encoders import FROZEN

pytest.importorskip("peft", reason="the extra `tune` is not installed")

TUNING = """
tune_encoders = ["bert"]

[train.tuning]
epochs = 4
learning_rate = 0.003
batch_size = 8
"""
PLAIN: dict[str, Any] = tomllib.loads(
    EXPERIMENT.replace("learning_rate = 0.01", f"learning_rate = 0.01{TUNING}")
)


@attrs.frozen
class Tuned:
    """A tuned run in its directory, and what its commands printed as JSON."""

    directory: Path
    trained: Any
    evaluated: Any


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    place = tmp_path_factory.mktemp("tuned")
    write_job(place)
    text = (place / "tiny.toml").read_text(encoding="utf-8")
    # Without n-grams, which know every class of this toy by its words.
    text = text.replace('[encoders.lexical]\nadapter = "lexical"\ndim = 4096\n', "")
    text = text.replace("learning_rate = 0.01", f'learning_rate = 0.01\nmetric = "loss"{TUNING}')
    (place / "tiny.toml").write_text(text, encoding="utf-8")
    trained = call(place, "train", "tiny.toml", "--json").json
    evaluated = call(place, "evaluate", "tiny.toml", "--json").json
    return Tuned(place, trained, evaluated)


@pytest.fixture(name="job")
def _job(tuned: Tuned) -> Iterator[Path]:
    with chdir(tuned.directory):
        yield tuned.directory


def test_train_says_what_tuning_came_to(tuned: Tuned) -> None:
    summary = tuned.trained["tuning"]
    assert summary["kept"]
    assert summary["validation"]["tuned"] < summary["validation"]["frozen"]
    assert 0 < summary["best_step"] <= summary["steps"]
    assert summary["encoders"]["bert"]["trainable"] > 0
    assert [model["seed"] for model in tuned.trained["models"]] == [0, 1]


def test_evaluate_holds_the_tuned_result_against_the_frozen_one(tuned: Tuned) -> None:
    assert FROZEN in tuned.evaluated["controls"]
    assert tuned.evaluated["verdicts"][FROZEN] in ("better", "worse", "not separable")
    names = [row["name"] for row in tuned.evaluated["leaderboard"]]
    assert "gated (residual), tuned" in names


def test_the_frozen_run_is_an_ordinary_run(job: Path, tuned: Tuned) -> None:
    found = call(job, "evaluate", f"runs/tiny/{FROZEN}", "--json").json
    assert found["result"] == tuned.evaluated["controls"][FROZEN]


def test_the_heads_read_what_the_tuned_encoder_gives(job: Path) -> None:
    inventory = json.loads(Path("runs/tiny/embeddings.json").read_text(encoding="utf-8"))
    frozen = json.loads(Path(f"runs/tiny/{FROZEN}/embeddings.json").read_text(encoding="utf-8"))
    changed = {
        name: one["identity"] != frozen["encoders"][name]["identity"]
        for name, one in inventory["encoders"].items()
    }
    assert changed == {"bert": True, "last": False}
    encoder = HuggingFaceEncoder("runs/tiny/encoders/bert/model", layers=(-2, -1), normalize=False)
    assert encoder.shape.layers == 2


def test_a_second_call_of_each_command_does_nothing_anew(job: Path, tuned: Tuned) -> None:
    training = fusionapp.train("tiny.toml")
    assert training.reused
    assert call(job, "evaluate", "tiny.toml", "--json").json == tuned.evaluated


def test_the_ensemble_predicts_as_it_was_scored(job: Path, tuned: Tuned) -> None:
    test = [line.rsplit(",", 1) for line in (job / "test.csv").read_text(encoding="utf-8").splitlines()[1:]]
    found = fusionapp.load("runs/tiny").predict([text for text, _ in test])
    accuracy = np.mean([one.label == label for one, (_, label) in zip(found, test, strict=True)])
    assert accuracy == pytest.approx(tuned.evaluated["ensemble"]["accuracy"]["mean"], abs=0.03)


def test_a_run_that_was_moved_predicts_the_same(job: Path) -> None:
    texts = ["happy quick fox", "sad lonely rain"]
    before = fusionapp.load("runs/tiny").predict(texts)
    shutil.copytree(job / "runs", job / "elsewhere/runs")
    assert fusionapp.load("elsewhere/runs/tiny").predict(texts) == before
    assert fusionapp.load("elsewhere/runs/tiny/models/seed-0").predict(texts)[0].text == texts[0]


def test_verify_sees_a_tuned_encoder_that_was_changed(job: Path) -> None:
    assert call(job, "verify", "runs/tiny", "--json").json == {"ok": True, "problems": []}
    shutil.copytree(job / "runs/tiny", job / "runs/damaged")
    path = job / "runs/damaged/encoders/bert/model/config.json"
    path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    problems = call(job, "verify", "runs/damaged", "--json", code=3).json["problems"]
    assert [problem["file"] for problem in problems] == ["encoders/bert/model/config.json"]


def test_another_labelled_file_is_scored_by_the_tuned_heads(job: Path) -> None:
    write_rows(job / "other.csv", 30, 5)
    evaluation = api.evaluate_file("tiny.toml", "other.csv")
    assert evaluation.rows == 30
    assert evaluation.controls == {}


def test_a_tuned_run_is_explained_but_not_by_retraining(job: Path) -> None:
    assert explain("tiny.toml").findings
    with pytest.raises(UsageError, match=r"does not go with train\.tune_encoders"):
        explain("tiny.toml", retrain=True)


def test_a_search_does_not_go_with_tuning(job: Path) -> None:
    with pytest.raises(UsageError, match=r"train --search does not go with train\.tune_encoders"):
        fusionapp.train("tiny.toml", search=api.SearchBudget(2))


def test_where_tuning_does_not_help_the_frozen_heads_stay(tuned: Tuned, tmp_path: Path) -> None:
    with chdir(tmp_path):
        write_job(tmp_path)
        experiment = json.loads(json.dumps(PLAIN))
        experiment["train"]["tuning"] |= {
            "learning_rate": 0.5,
            "head_rate": 100.0,
            "epochs": 1,
            "warmup": 0.0,
        }
        training = fusionapp.train(experiment)
        frozen = fusionapp.train("runs/tiny/frozen")
        assert [head.validation for head in training.heads] == [head.validation for head in frozen.heads]
        evaluation = fusionapp.evaluate(experiment)
        assert FROZEN not in evaluation.controls
        summary = api.tuning_of(experiment)
        assert summary is not None
        assert not summary["kept"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.tune_encoders": ["nobody"]}, "train.tune_encoders: there is no encoder 'nobody'"),
        ({"train.tune_encoders": ["lexical"]}, "encoder 'lexical' has no weights to tune"),
        ({"encoders.bert.quantization": "int8"}, "encoders.bert.quantization: does not go with"),
        ({"encoders.bert.on_truncate": "chunk"}, "encoders.bert.on_truncate: does not go with"),
        ({"dataset.folds": 3}, "train.tune_encoders: does not go with dataset.folds"),
        ({"dataset.shots": 3}, "train.tune_encoders: does not go with dataset.shots"),
        (
            {"encoders": {"lexical": {"adapter": "lexical"}}, "train.tune_encoders": True},
            "no encoder is of adapter",
        ),
        ({"train.tune_encoders": "bert"}, "train.tune_encoders: expected true or false or a list of strings"),
    ],
)
def test_what_does_not_go_together_is_said_at_once(changes: dict[str, Any], message: str) -> None:
    experiment = json.loads(json.dumps(PLAIN))
    for key, value in changes.items():
        *tables, name = key.split(".")
        place = experiment
        for table in tables:
            place = place[table]
        place[name] = value
    with pytest.raises(ConfigurationError, match=message):
        fusionapp.train(experiment)


def test_true_tunes_every_transformer() -> None:
    from fusionapp.entrypoints.experiment.load import load_experiment

    experiment = load_experiment({**PLAIN, "train": {"tune_encoders": True}})
    assert experiment.tuned_encoders == ["bert", "last"]
