"""`fusionapp add-model`, and the same from Python: a new model enters a router, which then routes to it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from command_line import call, flip, refused
from small_routes import MODELS, answer_rows, battle_rows, prompt, write_routes, write_rows

import fusionapp
from fusionapp.adapters.torch_routers.opened import RouterEnsemble, TorchRouters
from fusionapp.domain.errors import UsageError

PRICE = ("--price-in", "1", "--price-out", "2")
VERSE, SUM = prompt("verse", 201), prompt("sums", 202)
PROMPTS = f"{VERSE}\n{SUM}\n".encode()


def truth(topic: str) -> float:
    """How good the newcomer is: better than the poet at verse, and dearer in nothing."""
    return 0.97 if topic == "verse" else 0.2


def probe_rows(count: int = 30, start: int = 300) -> list[tuple[str, float]]:
    topics = [("verse", "sums")[row % 2] for row in range(start, start + count)]
    return [(prompt(topic, start + row), truth(topic)) for row, topic in enumerate(topics)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an evaluated routing, with probes; not to be changed."""
    directory = tmp_path_factory.mktemp("trained")
    write_routes(directory)
    call(directory, "train", "r.toml")
    call(directory, "evaluate", "r.toml")
    write_rows(directory / "p.jsonl", [{"prompt": text, "score_bard": q} for text, q in probe_rows()])
    return directory


@pytest.fixture
def job(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "job"))


def add(job: Path, *words: str | Path, file: str | Path = "p.jsonl", name: str = "bard") -> Any:
    return call(job, "add-model", "runs/r", name, file, *words, "--json").json


def test_route_knows_the_model_with_its_cost_from_then_on(job: Path) -> None:
    add(job, *PRICE)
    verse, sums = call(job, "route", "runs/r", "--max-cost", "0.02", stdin=PROMPTS).lines
    assert (verse["model"], sums["model"]) == ("bard", "solver")
    for line in (verse, sums):
        assert set(line["scores"]) == set(line["success"]) == set(line["cost"]) == {*MODELS, "bard"}
        assert 0 < line["cost"]["bard"] < 0.001
    (cheap,) = call(job, "route", "runs/r", "--min-quality", "0.6", stdin=f"{VERSE}\n".encode()).lines
    assert cheap["model"] == "bard"
    (one,) = call(job, "route", "runs/r/models/seed-1", "--among", "bard", stdin=f"{VERSE}\n".encode()).lines
    assert one["model"] == "bard"


def test_known_models_are_scored_as_before(trained: Path, job: Path) -> None:
    add(job, *PRICE)
    before, after = (call(place, "route", "runs/r", stdin=PROMPTS).lines for place in (trained, job))
    for old, new in zip(before, after, strict=True):
        assert {model: new["scores"][model] for model in MODELS} == old["scores"]
        assert {model: new["success"][model] for model in MODELS} == old["success"]


def test_the_model_is_foretold_better_than_by_its_mean(job: Path) -> None:
    mean = add(job, *PRICE)["mean_quality"]
    fresh = probe_rows(40, start=500)
    told = fusionapp.load(job / "runs/r").predict([text for text, _ in fresh])["bard"]
    quality = np.array([quality for _, quality in fresh])
    assert np.square((told + 1) / 2 - quality).mean() < 0.3 * np.square(mean - quality).mean()


def test_it_says_what_entered_and_what_that_costs_in_quality(job: Path) -> None:
    report = add(job, *PRICE)
    assert (report["model"], report["replaced"], report["probes"], report["stored"]) == (
        "bard",
        False,
        30,
        {},
    )
    assert report["penalty"] in (0.3, 1.0, 3.0, 10.0)
    assert max(report["weights"], key=report["weights"].get) == "poet"
    assert report["costs"]["output_price_usd_per_mtok"] == 2.0
    measured = report["cold_start"]
    assert set(measured["models"]) == set(MODELS)
    assert 1 <= measured["probes"] <= measured["prompts"] // 2
    assert measured["trained_quality"] >= measured["absent_quality"]
    said = call(job, "add-model", "runs/r", "bard", "p.jsonl", *PRICE, "--overwrite").out
    assert "bard was replaced by 30 probes of mean quality 0.5850" in said
    assert f"penalty {report['penalty']:g}" in said
    assert f"entering by {measured['probes']} probes (validation is too small for 30)" in said
    assert "validation prompts, which chose the routers, but did not fit them" in said


def test_prompts_of_the_run_need_no_encoder(job: Path) -> None:
    text = (job / "runs/r/experiment.json").read_text(encoding="utf-8")
    model = Path(json.loads(text)["encoders"]["tiny"]["model"])
    rows = [{"prompt": row["prompt"], "score_bard": 0.5} for row in answer_rows()[:12]]
    write_rows(job / "known.jsonl", rows)
    for path in job.glob("runs/r/models/seed-*/model.json"):  # whoever asked for the encoder would be refused
        card = json.loads(path.read_text(encoding="utf-8"))
        card["encoders"]["tiny"]["settings"]["model"] = str(model / "none")
        path.write_text(json.dumps(card), encoding="utf-8")
    assert sum(add(job, *PRICE, file="known.jsonl")["stored"].values()) == 12
    refused(job, "add-model", "runs/r", "other", "p.jsonl", "--scores", "score_bard", *PRICE, code=2)


def test_neither_training_nor_evaluation_nor_checksums_mind(job: Path) -> None:
    printed = call(job, "evaluate", "r.toml", "--json").json
    add(job, *PRICE)
    assert call(job, "verify", "runs/r", "--json").json["ok"]
    assert call(job, "train", "r.toml", "--json").json["reused"]
    again = call(job, "evaluate", "r.toml", "--json")
    assert again.json == printed
    assert "bard entered by probes" in again.err
    assert "bard" in fusionapp.load(job / "runs/r").models
    anew = call(job, "evaluate", "r.toml", "--overwrite", "--json").json
    assert anew["models"] == printed["models"]
    assert anew["result"] == printed["result"]


def test_a_changed_document_is_found_by_verify(job: Path) -> None:
    add(job, *PRICE)
    flip(job / "runs/r/newcomers.json", 5)
    assert "newcomers.json" in call(job, "verify", "runs/r", code=3).out


def test_routers_that_are_trained_anew_forget_it_and_say_so(job: Path) -> None:
    add(job, *PRICE)
    flip(job / "runs/r/models/seed-0/router.safetensors")
    call(job, "train", "r.toml", "--overwrite")
    ended = call(job, "route", "runs/r", stdin=PROMPTS)
    assert set(ended.lines[0]["scores"]) == set(MODELS)
    assert "bard entered routers that were trained anew since" in ended.err
    assert not add(job, *PRICE)["replaced"]
    assert "bard" in fusionapp.load(job / "runs/r").models


LAYOUTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "mapping": ({"scores": {"bard": 0.5, "someone": 1.0}}, ()),
    "a column a model": ({"score_bard": 0.5, "score_someone": 1.0}, ()),
    "a row an answer": ({"model": "bard", "score": 0.5}, ()),
    "a column of its own": ({"judged": 0.5}, ("--scores", "judged")),
    "another range": ({"judged": 5}, ("--scores", "judged", "--score-range", "0", "10")),
}


@pytest.mark.parametrize(("cells", "words"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_probes_have_any_layout_of_answers(job: Path, cells: dict[str, Any], words: tuple[str, ...]) -> None:
    write_rows(job / "any.jsonl", [{"prompt": text, **cells} for text, _ in probe_rows(6)])
    report = add(job, *words, *PRICE, file="any.jsonl")
    assert (report["probes"], report["mean_quality"]) == (6, 0.5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_probes_are_read_from_other_files_by_the_names_of_their_columns(job: Path, suffix: str) -> None:
    path = job / f"any.{suffix}"
    rows = [{"question": text, "judged": quality} for text, quality in probe_rows(8)]
    if suffix == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["question", "judged"])
            writer.writeheader()
            writer.writerows(rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert add(job, "--text", "question", "--scores", "judged", *PRICE, file=path)["probes"] == 8


def test_a_price_comes_from_a_file_as_those_of_the_dataset_do(job: Path) -> None:
    table = {"bard": {"input_price_usd_per_mtok": 3, "output_price_usd_per_mtok": 4, "size": "7B"}}
    (job / "prices.json").write_text(json.dumps(table), encoding="utf-8")
    assert add(job, "--prices", "prices.json")["costs"]["input_price_usd_per_mtok"] == 3
    said = refused(job, "add-model", "runs/r", "other", "p.jsonl", "--prices", "prices.json", code=2)
    assert "prices.json: has no price of 'other', but of bard" in said


BAD: dict[str, tuple[str, tuple[str, ...], str]] = {
    "a known name": ("poet", PRICE, "'poet': the routers were trained on it"),
    "no price": ("bard", (), "--price-in and --price-out, or --prices FILE"),
    "half a price": ("bard", ("--price-in", "1"), "'bard': output_price_usd_per_mtok is None"),
    "a price below 0": ("bard", ("--price-in", "-1", "--price-out", "1"), "input_price_usd_per_mtok is -1.0"),
    "two prices": ("bard", (*PRICE, "--prices", "x.json"), "give one of them"),
    "no such file of prices": ("bard", ("--prices", "x.json"), "x.json: no such file"),
    "no score of it": ("other", PRICE, "no score of 'other', but of bard"),
    "no such column": ("bard", (*PRICE, "--scores", "judged"), "'judged'"),
    "no range": ("bard", (*PRICE, "--score-range", "1", "0"), "low below high"),
}


@pytest.mark.parametrize(("name", "words", "said"), BAD.values(), ids=BAD.keys())
def test_what_makes_no_sense_is_refused(trained: Path, name: str, words: tuple[str, ...], said: str) -> None:
    assert said in refused(trained, "add-model", "runs/r", name, "p.jsonl", *words, code=2)
    assert not (trained / "runs/r/newcomers.json").exists()


FILES: dict[str, tuple[str, str]] = {
    "missing": ("", "no such file"),
    "empty": ("\n", "p.jsonl: holds no row"),
    "no JSON": ("{", "p.jsonl"),
    "no scores": ('{"prompt": "p", "score": 1}\n', "--scores names a column of the new model's scores alone"),
    "beyond 1": ('{"prompt": "p", "score_bard": 1.5}\n', "score 1.5 of model 'bard' is not in [0, 1]"),
    "below 0": ('{"prompt": "p", "score_bard": -0.5}\n', "--score-range LOW HIGH is dataset.score_range"),
    "blank": ('{"prompt": " ", "score_bard": 0.5}\n', "blank"),
    "battles": (
        '{"prompt": "p", "model_a": "bard", "model_b": "b", "winner": "a"}\n',
        "is a battle of 'bard'",
    ),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES.keys())
def test_a_file_that_holds_no_probes_is_refused(
    trained: Path, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "p.jsonl"
    if content:
        path.write_text(content, encoding="utf-8")
    error = refused(trained, "add-model", "runs/r", "bard", path, *PRICE, code=2)
    assert said in error
    assert str(path) in error


def test_a_name_that_entered_is_replaced_only_when_told_to(job: Path) -> None:
    add(job, *PRICE)
    assert "--overwrite" in refused(job, "add-model", "runs/r", "bard", "p.jsonl", *PRICE, code=2)
    assert add(job, *PRICE, "--overwrite")["replaced"]


def test_what_is_no_trained_routing_run_is_refused(trained: Path, tmp_path: Path) -> None:
    write_routes(tmp_path)
    call(tmp_path, "extract", "r.toml")
    said = refused(tmp_path, "add-model", "runs/r", "bard", trained / "p.jsonl", *PRICE, code=2)
    assert "run `fusionapp train` first" in said
    said = refused(trained, "add-model", "runs/r/models/seed-0", "bard", "p.jsonl", *PRICE, code=2)
    assert "is one seed's router; name its run" in said


def test_a_run_is_found_from_another_directory_and_moves_with_its_store(job: Path, tmp_path: Path) -> None:
    moved = job.rename(tmp_path / "moved")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    call(elsewhere, "add-model", moved / "runs/r", "bard", moved / "p.jsonl", *PRICE)
    assert "bard" in fusionapp.load(moved / "runs/r").models


def test_a_run_of_battles_takes_a_model_too(tmp_path: Path) -> None:
    write_routes(tmp_path)
    write_rows(tmp_path / "answers.jsonl", battle_rows())
    text = (tmp_path / "r.toml").read_text(encoding="utf-8").replace('id = ["prompt_id"]', "")
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    call(tmp_path, "train", "r.toml")
    rows = [{"prompt": text, "score_bard": quality} for text, quality in probe_rows()]
    write_rows(tmp_path / "p.jsonl", rows)
    assert add(tmp_path)["cold_start"]["probes"] >= 1
    assert "bard" in fusionapp.load(tmp_path / "runs/r").models


def test_python_adds_a_model_as_the_command_does(job: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(job, tmp_path / "other"))
    report = add(other, *PRICE)
    with chdir(job):
        added = fusionapp.add_model("runs/r", "bard", "p.jsonl", price=(1.0, 2.0))
        with pytest.raises(UsageError, match="--overwrite"):
            fusionapp.add_model("runs/r", "bard", "p.jsonl", price=(1.0, 2.0))
        with pytest.raises(UsageError, match="price: model 'b'"):
            fusionapp.add_model("runs/r", "b", "p.jsonl", scores="score_bard", price=(1.0, -2.0))
    assert dict(added.weights) == report["weights"]
    documents = [(place / "runs/r/newcomers.json").read_bytes() for place in (job, other)]
    assert documents[0] == documents[1]


def test_a_command_that_is_interrupted_between_seeds_leaves_what_was_there_and_can_be_run_again(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(job, *PRICE)
    before = (job / "runs/r/newcomers.json").read_bytes()
    opened = TorchRouters.open

    def interrupted(self: TorchRouters, directories: Sequence[str]) -> RouterEnsemble:
        if [Path(one).name for one in directories] == ["seed-1"]:
            raise KeyboardInterrupt
        return opened(self, directories)

    words = ("add-model", "runs/r", "bard", "p.jsonl", "--price-in", "9", "--price-out", "9", "--overwrite")
    with monkeypatch.context() as patch:
        patch.setattr(TorchRouters, "open", interrupted)
        call(job, *words, code=130)
    assert (job / "runs/r/newcomers.json").read_bytes() == before
    assert call(job, "verify", "runs/r", "--json").json["ok"]
    assert call(job, *words, "--json").json["costs"]["input_price_usd_per_mtok"] == 9
