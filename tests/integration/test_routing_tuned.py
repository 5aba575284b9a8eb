"""`train.tune_encoder` through the command line: train, evaluate and route over an encoder that the run tuned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import call, refused
from fakes.routers import MODELS
from router_tuning import QUALITY, prompts
from small_routes import RouteJob, write_routes, write_rows

from fusionapp.entrypoints.routing.reports import READING, READING_TUNED, UNTUNED

pytest.importorskip("peft", reason="the extra `tune` is not installed")

PROMPTS = b"the lazy dog a fox\na good and happy day\n"


def words(*settings: str) -> list[str]:
    """The experiment with a network that has nothing but the encoder to go by, and a short tuning."""
    every = (
        "train.tune_encoder=true",
        "dataset.validation_fraction=0.3",
        "train.base=none",
        "train.features=false",
        "train.epochs=16",
        "train.patience=16",
        "train.batch_size=16",
        "train.learning_rate=0.01",
        "train.finetuning.method=lora",
        "train.tuning.epochs=20",
        "train.tuning.batch_size=16",
        "train.tuning.learning_rate=0.002",
        "train.tuning.evaluations=1",
        "train.tuning.patience=20",
        "train.tuning.schedule=constant",
        *settings,
    )
    return ["r.toml", *(word for one in every for word in ("--set", one)), "--json"]


def write_topics(directory: Path) -> None:
    """Prompts whose topic an untuned tiny encoder hardly tells, and what models of each topic make of them."""
    write_routes(directory)
    texts, topics = prompts(160, 0)
    rows = [
        {
            "prompt_id": f"p{row:03}",
            "prompt": f"{text} {row}",
            "scores": dict(zip(MODELS, QUALITY[topic], strict=True)),
            "costs": dict.fromkeys(MODELS, 0.01),
        }
        for row, (text, topic) in enumerate(zip(texts, topics, strict=True))
    ]
    write_rows(directory / "answers.jsonl", rows)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> RouteJob:
    """A run whose tuned encoder was kept; not to be changed."""
    directory = tmp_path_factory.mktemp("tuned")
    write_topics(directory)
    printed = {name: call(directory, name, *words()).json for name in ("train", "evaluate")}
    return RouteJob(directory, printed)


@pytest.fixture
def job(tuned: RouteJob, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(tuned.directory, tmp_path / "job"))


def test_train_says_what_tuning_came_to(tuned: RouteJob) -> None:
    tuning = tuned.printed["train"]["tuning"]
    assert tuning["kept"]
    assert tuning["encoder"] == "tiny"
    assert tuning["preflight"]["method"] == "lora"
    assert 0 < tuning["best_step"] <= tuning["steps"]
    scores = [model["validation"]["quality"] for model in tuned.printed["train"]["models"]]
    assert tuning["validation"]["tuned"] == pytest.approx(sum(scores) / 2)
    assert tuning["validation"]["tuned"] > tuning["validation"]["untuned"]


def test_the_untuned_encoders_routers_stand_in_the_tables(tuned: RouteJob) -> None:
    report = tuned.printed["evaluate"]
    assert report["verdicts"][UNTUNED] == "better"
    assert READING_TUNED in (tuned.directory / "runs/r/leaderboard-test.md").read_text(encoding="utf-8")


def test_routers_carry_the_tuned_encoder_by_its_place_in_the_run(tuned: RouteJob) -> None:
    model = json.loads((tuned.directory / "runs/r/models/seed-1/model.json").read_text(encoding="utf-8"))
    assert model["encoders"]["tiny"]["tuned"]
    assert model["encoders"]["tiny"]["settings"]["model"] == "encoders/tiny/model"
    assert (tuned.directory / "runs/r/encoders/tiny/model/modules.json").is_file()


def test_a_run_that_was_moved_routes_as_before(job: Path) -> None:
    before = call(job, "route", "runs/r", stdin=PROMPTS).lines
    shutil.move(job / "runs/r", job / "elsewhere")
    assert call(job, "route", "elsewhere", stdin=PROMPTS).lines == before
    assert all(set(line["scores"]) == set(MODELS) for line in before)
    (one, two) = call(job, "route", "elsewhere/models/seed-0", stdin=PROMPTS).lines
    assert one["scores"] != two["scores"]


def test_changed_answers_are_refused_unless_overwritten_over_a_tuned_encoder_too(job: Path) -> None:
    router = job / "runs/r/models/seed-0/router.safetensors"
    before = router.stat().st_mtime_ns
    answers = job / "answers.jsonl"
    answers.write_text(answers.read_text(encoding="utf-8").replace("0.9", "0.8"), encoding="utf-8")
    assert "other data" in refused(job, "train", *words(), code=2)
    assert router.stat().st_mtime_ns == before
    assert not call(job, "train", *words(), "--overwrite").json["reused"]


def test_what_is_finished_is_not_done_again(job: Path, tuned: RouteJob) -> None:
    router = job / "runs/r/models/seed-0/router.safetensors"
    stamp = router.stat().st_mtime_ns
    again = call(job, "train", *words()).json
    assert again["reused"]
    assert again["tuning"] == tuned.printed["train"]["tuning"]
    assert router.stat().st_mtime_ns == stamp
    assert call(job, "evaluate", *words()).json == tuned.printed["evaluate"]


def test_an_extraction_afterwards_is_by_the_tuned_encoder(job: Path) -> None:
    before = json.loads((job / "runs/r/embeddings.json").read_text(encoding="utf-8"))["encoders"]["tiny"]
    call(job, "extract", *words())
    after = json.loads((job / "runs/r/embeddings.json").read_text(encoding="utf-8"))["encoders"]["tiny"]
    assert after["identity"] == before["identity"]


def test_a_run_without_its_tuned_encoder_is_refused(job: Path) -> None:
    shutil.rmtree(job / "runs/r/encoders")
    message = refused(job, "route", "runs/r", stdin=PROMPTS, code=3)
    assert "train again" in message


def test_an_encoder_that_tuning_does_not_improve_stays(tmp_path: Path) -> None:
    write_routes(tmp_path)
    still = words("train.tuning.learning_rate=1e-30", "train.tuning.head_rate=1e-30", "train.tuning.epochs=1")
    trained = call(tmp_path, "train", *still).json
    assert trained["tuning"]["kept"] is False
    report = call(tmp_path, "evaluate", *still).json
    assert UNTUNED not in report["controls"]
    leaderboard = (tmp_path / "runs/r/leaderboard-test.md").read_text(encoding="utf-8")
    assert READING in leaderboard
    assert READING_TUNED not in leaderboard
    assert len(call(tmp_path, "route", "runs/r", stdin=PROMPTS).lines) == 2


def test_tuning_without_a_transformer_is_refused(tmp_path: Path) -> None:
    write_routes(tmp_path)
    lexical = ["--set", 'encoders.tiny={adapter="lexical"}']
    message = refused(tmp_path, "train", *words(), *lexical, code=2)
    assert 'train.tune_encoder: no encoder is of adapter = "huggingface"' in message


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("encoders.tiny.quantization=nf4", "encoders.tiny.quantization"),
        ("encoders.tiny.on_truncate=chunk", "encoders.tiny.on_truncate"),
        ("train.tuning_learning_rate=0.1", "train.tuning_learning_rate"),
    ],
)
def test_what_does_not_go_with_tuning_is_refused(setting: str, told: str, tmp_path: Path) -> None:
    write_routes(tmp_path)
    assert told in refused(tmp_path, "train", *words(setting), code=2)


def test_a_new_model_enters_the_routers_over_the_tuned_encoder_alone(job: Path) -> None:
    texts, topics = prompts(24, 7)
    rows = [
        {"prompt": f"{text} anew", "score": QUALITY[topic][0]}
        for text, topic in zip(texts, topics, strict=True)
    ]
    write_rows(job / "p.jsonl", rows)
    price = ("--price-in", "1", "--price-out", "1")
    added = call(job, "add-model", "runs/r", "twin", "p.jsonl", "--scores", "score", *price, "--json").json
    assert max(added["weights"], key=added["weights"].get) == MODELS[0]
    for place in ("runs/r", "runs/r/models/seed-1"):
        assert set(call(job, "route", place, stdin=PROMPTS).lines[0]["scores"]) == {*MODELS, "twin"}
    assert set(call(job, "route", "runs/r/untuned/seed-0", stdin=PROMPTS).lines[0]["scores"]) == set(MODELS)
