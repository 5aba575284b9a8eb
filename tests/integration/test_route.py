"""`fusionapp route` and `fusionapp.load(...).route`: where new prompts go."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import call, refused
from small_routes import COSTS, MODELS, prompt, write_routes

import fusionapp
from fusionapp.application.services.route_prompts import Wish
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.policy import Policy
from fusionapp.entrypoints.routing.routing import LoadedRouter

VERSE, SUM = prompt("verse", 201), prompt("sums", 202)
PROMPTS = f"{VERSE}\n{SUM}\n".encode()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a trained routing; not to be changed."""
    directory = tmp_path_factory.mktemp("trained")
    write_routes(directory)
    call(directory, "train", "r.toml")
    return directory


@pytest.fixture(scope="module")
def router(trained: Path) -> LoadedRouter:
    loaded: LoadedRouter = fusionapp.load(trained / "runs/r")
    return loaded


def test_a_line_says_the_model_and_every_models_score_success_and_cost(trained: Path) -> None:
    verse, sums = call(trained, "route", "runs/r", "-", stdin=PROMPTS).lines
    assert (verse["prompt"], verse["model"], verse["reason"]) == (VERSE, "poet", "best")
    assert (sums["prompt"], sums["model"], sums["reason"]) == (SUM, "solver", "best")
    for line in (verse, sums):
        assert set(line) == {"prompt", "model", "reason", "familiar", "scores", "success", "cost"}
        assert set(line["scores"]) == set(line["success"]) == set(line["cost"]) == set(MODELS)
        assert all(-1 <= score <= 1 for score in line["scores"].values())
        assert all(0 <= share <= 1 for share in line["success"].values())
        assert line["cost"] == pytest.approx(dict(zip(MODELS, COSTS, strict=True)))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.txt", f"{VERSE}\n{SUM}\n", ()),
        ("p.csv", f'prompt,other\n"{VERSE}",x\n"{SUM}",y\n', ()),
        ("p.jsonl", f'{{"q": "{VERSE}"}}\n{{"q": "{SUM}"}}\n', ("--text", "q")),
    ],
)
def test_files_are_routed_as_standard_input_is(
    trained: Path, tmp_path: Path, name: str, content: str, words: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert (
        call(trained, "route", "runs/r", tmp_path / name, *words).lines
        == call(trained, "route", "runs/r", stdin=PROMPTS).lines
    )


def test_batches_do_not_change_a_choice(trained: Path) -> None:
    whole = call(trained, "route", "runs/r", stdin=PROMPTS).lines
    parts = call(trained, "route", "runs/r", "--batch-size", "1", stdin=PROMPTS).lines
    assert [line["model"] for line in parts] == [line["model"] for line in whole]
    for left, right in zip(whole, parts, strict=True):
        assert left["scores"] == pytest.approx(right["scores"], abs=1e-4)


def test_one_seeds_router_is_routed_with_by_its_directory(trained: Path) -> None:
    lines = call(trained, "route", "runs/r/models/seed-1", stdin=PROMPTS).lines
    assert [line["model"] for line in lines] == ["poet", "solver"]


@pytest.mark.parametrize(
    ("words", "model", "reason"),
    [
        (("--max-cost", "0.005"), "small", "best"),
        (("--max-cost", "0.0001"), "small", "over_budget"),
        (("--min-quality", "0.1"), "small", "best"),
        (("--min-quality", "0.6"), "poet", "best"),
        (("--min-quality", "0.6", "--max-cost", "0.005"), "small", "below_quality"),
        (("--trade-off", "0"), "poet", "best"),
        (("--trade-off", "1000"), "small", "best"),
        (("--among", "solver"), "solver", "best"),
        (("--fallback", "small"), "poet", "best"),
        (("--abstain",), "poet", "best"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_policy_decides(trained: Path, words: tuple[str, ...], model: str, reason: str) -> None:
    (line,) = call(trained, "route", "runs/r", *words, stdin=f"{VERSE}\n".encode()).lines
    assert (line["model"], line["reason"]) == (model, reason)


@pytest.mark.parametrize(
    ("words", "model", "reason"),
    [
        ((), None, "best"),
        (("--fallback", "small"), "small", "unfamiliar"),
        (("--abstain",), None, "unfamiliar"),
    ],
)
def test_a_prompt_unlike_those_of_train_is_said_to_be_and_handled_as_asked(
    trained: Path, tmp_path: Path, words: tuple[str, ...], model: str | None, reason: str
) -> None:
    job = Path(shutil.copytree(trained, tmp_path / "job"))
    call(job, "train", "r.toml", "--set", "policy.familiar=0.5")
    (line,) = call(job, "route", "runs/r", *words, stdin=b"!!! ((( ;;; 9 9 9 9 9").lines
    assert not line["familiar"]
    assert line["reason"] == reason
    if words:
        assert line["model"] == model
    else:
        assert line["model"] in MODELS


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fallback", "nobody"), "'nobody': the router knows poet, small, solver"),
        (("--among", "nobody"), "'nobody': the router knows"),
        (("--among", "poet", "--fallback", "small"), "fallback 'small' is not among poet"),
        (("--abstain", "--fallback", "small"), "--abstain and --fallback"),
        (("--min-quality", "0.5", "--trade-off", "1"), "two different policies"),
        (("--max-cost", "nan"), "max_cost nan is negative or not a number"),
        (("--min-quality", "nan"), "min_quality nan is not between 0 and 1"),
        (("--trade-off", "inf"), "trade_off inf asks for the cheapest model"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wish_without_sense_is_refused(trained: Path, words: tuple[str, ...], said: str) -> None:
    assert said in refused(trained, "route", "runs/r", *words, stdin=PROMPTS, code=2)


def test_what_is_no_router_is_refused(trained: Path, tmp_path: Path) -> None:
    assert "fusionapp train" in refused(tmp_path, "route", "runs/none", stdin=PROMPTS, code=2)
    assert "no such file" in refused(trained, "route", "runs/r", "missing.txt", code=2)


def test_the_experiments_policy_holds_where_the_command_line_says_nothing(
    trained: Path, tmp_path: Path
) -> None:
    job = Path(shutil.copytree(trained, tmp_path / "job"))
    words = ("--set", "policy.min_quality=0.1", "--json")
    assert call(job, "train", "r.toml", *words).json["reused"]
    cheap = call(job, "route", "runs/r", stdin=PROMPTS).lines
    assert [line["model"] for line in cheap] == ["small", "small"]
    other = call(job, "route", "runs/r", "--trade-off", "0", stdin=PROMPTS).lines
    assert [line["model"] for line in other] == ["poet", "solver"]


def test_what_counts_as_familiar_can_be_changed_without_training_again(trained: Path, tmp_path: Path) -> None:
    job = Path(shutil.copytree(trained, tmp_path / "job"))
    before = json.loads((job / "runs/r/familiar.json").read_text(encoding="utf-8"))["limit"]
    assert call(job, "train", "r.toml", "--set", "policy.familiar=0.5", "--json").json["reused"]
    assert json.loads((job / "runs/r/familiar.json").read_text(encoding="utf-8"))["limit"] < before


def test_python_routes_as_the_command_does(trained: Path, router: LoadedRouter) -> None:
    lines = call(trained, "route", "runs/r", stdin=PROMPTS).lines
    found = router.route([VERSE, SUM])
    assert [one.model for one in found] == [line["model"] for line in lines]
    assert [dict(one.scores) for one in found] == [line["scores"] for line in lines]
    assert sorted(router.models) == sorted(MODELS)
    (cheap,) = router.route([VERSE], Wish(Policy(max_cost=0.005)))
    assert cheap.model == "small"


def test_predict_gives_each_models_scores_in_input_order(router: LoadedRouter) -> None:
    scores = router.predict([VERSE, SUM, VERSE], batch_size=2)
    assert set(scores) == set(MODELS)
    for values in scores.values():
        assert values.shape == (3,)
        assert values.dtype == np.float32
        assert np.abs(values).max() <= 1
        assert values[0] == pytest.approx(values[2], abs=1e-5)
    assert scores["poet"][0] > scores["solver"][0]
    assert scores["poet"][1] < scores["solver"][1]


def test_no_prompts_give_no_scores(router: LoadedRouter) -> None:
    assert {model: values.shape for model, values in router.predict([]).items()} == dict.fromkeys(
        MODELS, (0,)
    )
    assert router.route([]) == []


def test_prompts_that_are_none_are_refused(router: LoadedRouter) -> None:
    with pytest.raises(UsageError, match=r"\[prompt\]"):
        router.route(VERSE)
    with pytest.raises(UsageError, match="text 1 is blank"):
        router.predict([VERSE, " "])
    with pytest.raises(UsageError, match="batch_size 0"):
        router.predict([VERSE], batch_size=0)
