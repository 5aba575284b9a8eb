"""`fusionapp extract|train|evaluate` over models' answers: what they print, keep, reuse and refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from command_line import call, flip, refused
from small_routes import MODELS, RouteJob, answer_rows, battle_rows, write_routes, write_rows

from fusionapp.domain.retrieval.pair_columns import name_by_text

BASELINES = {
    *("random", "best single", "cheapest", "prompt blind", "knn", "kmeans", "ridge", "ridge tfidf"),
    "matrix factorisation",
}
SINGLES = {f"always {model}" for model in MODELS}
METRICS = {"quality", "gap_to_oracle", "pairwise_accuracy", "ece", "aiq", "apgr", "cpt@50", "cpt@80"}
WEIGHTS = "runs/r/models/seed-0/router.safetensors"


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> RouteJob:
    """The routing after extract, train and evaluate; not to be changed."""
    directory = tmp_path_factory.mktemp("routed")
    write_routes(directory)
    return RouteJob(
        directory,
        {name: call(directory, name, "r.toml", "--json").json for name in ("extract", "train", "evaluate")},
    )


@pytest.fixture
def job(routed: RouteJob, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(routed.directory, tmp_path / "job"))


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    write_routes(tmp_path)
    return tmp_path


def written(path: Path) -> int:
    return path.stat().st_mtime_ns


def test_extract_counts_the_prompts_of_every_split(routed: RouteJob) -> None:
    report = routed.printed["extract"]
    assert (report["rows"], report["durable_rows"], report["complete"]) == (100, 100, True)
    tiny = report["encoders"]["tiny"]
    assert set(tiny["directories"]) == {"train", "validation", "test"}
    assert (tiny["dim"], tiny["layers"], tiny["sparse"]) == (32, 1, False)


def test_a_plan_counts_prompts_and_writes_nothing(fresh: Path) -> None:
    planned = call(fresh, "extract", "r.toml", "--dry-run", "--json").json["plan"]
    assert [one["split"] for one in planned] == ["train", "validation", "test"]
    assert sum(one["texts"] for one in planned) == 100
    assert not (fresh / "runs").exists()
    assert not (fresh / "embeddings").exists()


def test_one_split_can_be_extracted_alone_and_train_does_the_rest(fresh: Path) -> None:
    assert call(fresh, "extract", "r.toml", "--split", "test", "--json").json["rows"] < 50
    assert "validation" in refused(fresh, "extract", "r.toml", "--split", "dev", code=2)
    assert len(call(fresh, "train", "r.toml", "--json").json["models"]) == 2


def test_train_prints_each_seeds_router_with_its_validation(routed: RouteJob) -> None:
    report = routed.printed["train"]
    assert not report["reused"]
    assert [model["seed"] for model in report["models"]] == [0, 1]
    for model in report["models"]:
        assert set(model["validation"]) == {"quality", "pairwise_accuracy", "loss"}
        assert model["epochs"] <= 2
        assert (routed.directory / model["directory"] / "router.safetensors").is_file()


def test_evaluate_prints_the_router_beside_baselines_and_every_single_model(routed: RouteJob) -> None:
    report = routed.printed["evaluate"]
    assert (report["task"], report["split"]) == ("route", "test")
    assert sorted(report["models"]) == sorted(MODELS)
    assert set(report["result"]) >= METRICS
    controls = BASELINES | SINGLES
    assert set(report["controls"]) == set(report["verdicts"]) == set(report["differences"]) == controls
    assert set(report["verdicts"].values()) <= {"better", "worse", "not separable"}
    for metrics in (report["result"], *report["controls"].values()):
        for summary in metrics.values():
            assert set(summary) == {"mean", "sd", "low", "high"}
    names = [row["name"] for row in report["leaderboard"]]
    assert set(names) == controls | {"router", "ensemble of seeds", "oracle"}
    quality = {row["name"]: row["metrics"]["quality"]["mean"] for row in report["leaderboard"]}
    assert quality["oracle"] == max(quality.values())
    assert list(quality.values()) == sorted(quality.values(), reverse=True)


def test_a_rule_that_can_be_learnt_is_learnt_better_than_any_single_model(routed: RouteJob) -> None:
    report = routed.printed["evaluate"]
    quality = report["result"]["quality"]["mean"]
    for model in MODELS:
        assert report["controls"][f"always {model}"]["quality"]["mean"] < quality - 0.1
    assert report["verdicts"]["always small"] == "better"


def test_kept_choices_of_every_prompt_recompute_the_printed_quality(routed: RouteJob) -> None:
    table = pyarrow.parquet.read_table(routed.directory / "runs/r/scores/test/routers.parquet").to_pydict()
    ids = {row["prompt_id"] for row in answer_rows()}
    assert set(table["prompt_id"]) < ids
    report = routed.printed["evaluate"]
    assert len(table["prompt_id"]) == report["prompts"]
    assert np.mean(table["chosen quality router"]) == pytest.approx(report["result"]["quality"]["mean"])
    best = np.max([table[f"quality {model}"] for model in MODELS], axis=0)
    assert np.mean(table["chosen quality oracle"]) == pytest.approx(np.mean(best))


def test_evaluate_leaves_a_leaderboard_and_a_picture_of_cost_and_quality(routed: RouteJob) -> None:
    run = routed.directory / "runs/r"
    picture = (run / "cost-quality-test.svg").read_text(encoding="utf-8")
    for words in ("USD per 1,000 prompts", "ensemble of seeds", "poet"):
        assert words in picture
    assert "| router | " in (run / "leaderboard-test.md").read_text(encoding="utf-8")
    assert "quality_low" in (run / "leaderboard-test.csv").read_text(encoding="utf-8").splitlines()[0]


def test_people_get_tables_and_sentences(job: Path) -> None:
    shown = call(job, "train", "r.toml").out
    assert "2 routers in" in shown
    assert "trained before, reused" in shown
    shown = call(job, "evaluate", "runs/r").out
    assert "test: " in shown
    assert "the router is better than always small: quality +" in shown


def test_a_second_train_is_reused_and_a_run_directory_names_it(job: Path) -> None:
    before = written(job / WEIGHTS)
    assert call(job, "train", "r.toml", "--json").json["reused"]
    again = call(job, "train", "runs/r", "--json").json
    assert [model["directory"] for model in again["models"]] == [
        f"runs/r/models/seed-{seed}" for seed in (0, 1)
    ]
    assert written(job / WEIGHTS) == before


def test_a_changed_recipe_under_the_same_name_is_refused_unless_overwritten(job: Path) -> None:
    before = written(job / WEIGHTS)
    words = ("train", "r.toml", "--set", "train.epochs=1", "--set", "train.seeds=1")
    assert "train.epochs, train.seeds" in refused(job, *words, code=2)
    assert written(job / WEIGHTS) == before
    anew = call(job, *words, "--overwrite", "--json").json
    assert not anew["reused"]
    assert [model["seed"] for model in anew["models"]] == [0]
    assert call(job, "verify", "runs/r", "--json").json["ok"]
    assert call(job, "evaluate", "runs/r", "--json").json["result"]["quality"]["sd"] == 0


def test_changed_answers_under_the_same_name_are_refused_unless_overwritten(job: Path) -> None:
    rows = answer_rows()
    for row in rows:
        row["scores"]["small"] = 0.0
    write_rows(job / "answers.jsonl", rows)
    assert "other data" in refused(job, "train", "r.toml", code=2)
    assert "other data" in refused(job, "evaluate", "r.toml", code=2)
    assert not call(job, "train", "r.toml", "--overwrite", "--json").json["reused"]
    assert call(job, "evaluate", "r.toml", "--json").json["controls"]["always small"]["quality"]["mean"] == 0


@pytest.mark.parametrize("key", ["tie_below", "bad_below"])
def test_routers_are_trained_anew_on_battles_that_are_made_in_another_way(job: Path, key: str) -> None:
    words = ("train", "r.toml", "--set", f"dataset.{key}=0.4")
    assert f"dataset.{key}" in refused(job, *words, code=2)
    assert not call(job, *words, "--overwrite", "--json").json["reused"]
    assert call(job, *words, "--json").json["reused"]


def test_evaluate_before_train_is_refused(fresh: Path) -> None:
    assert "fusionapp train" in refused(fresh, "evaluate", "r.toml", code=2)


def test_a_split_is_scored_once_and_anew_only_when_told_to(job: Path, routed: RouteJob) -> None:
    scores = job / "runs/r/scores/test/routers.parquet"
    before = written(scores)
    assert call(job, "evaluate", "r.toml", "--json").json == routed.printed["evaluate"]
    assert written(scores) == before
    anew = call(job, "evaluate", "r.toml", "--overwrite", "--json").json
    assert anew == routed.printed["evaluate"]
    assert written(scores) > before


def test_another_split_is_scored_beside_the_first(job: Path) -> None:
    settings = ("--set", "evaluate.baselines=false")
    report = call(job, "evaluate", "r.toml", "--split", "validation", *settings, "--json").json
    assert (report["split"], report["controls"]) == ("validation", {})
    assert (job / "runs/r/metrics-test.json").is_file()
    assert "dev" in refused(job, "evaluate", "r.toml", "--split", "dev", code=2)


def test_a_changed_router_is_corrupt_for_everyone_who_reads_it(job: Path) -> None:
    flip(job / WEIGHTS)
    assert "seed-0/router.safetensors" in refused(job, "train", "r.toml", code=3)
    assert "router.safetensors" in refused(job, "route", "runs/r", stdin=b"a sonnet\n", code=3)
    problems = call(job, "verify", "runs/r", "--json", code=3).json["problems"]
    assert [problem["file"] for problem in problems] == [WEIGHTS.removeprefix("runs/r/")]
    assert not call(job, "train", "r.toml", "--overwrite", "--json").json["reused"]
    assert call(job, "verify", "runs/r", "--json").json["ok"]


@pytest.mark.parametrize(
    "damaged", ['{"seconds": 1.0, "routers": []}', '{"carried": [], "seconds": 1.0, "routers": []}', "[]"]
)
def test_what_describes_no_training_is_refused_with_a_way_out(damaged: str, job: Path) -> None:
    trained = job / "runs/r/models/trained.json"
    trained.write_text(damaged, encoding="utf-8")
    for command in ("evaluate", "train"):
        said = refused(job, command, "r.toml", code=3)
        assert f"{trained.relative_to(job)}: does not describe a training of routers" in said
    trained.unlink()
    assert not call(job, "train", "r.toml", "--json").json["reused"]
    call(job, "evaluate", "r.toml")


def test_status_and_verify_know_a_routing(routed: RouteJob) -> None:
    status = call(routed.directory, "status", "runs/r", "--json").json
    assert (status["durable_rows"], status["complete"]) == (100, True)
    assert call(routed.directory, "verify", "runs/r", "--json").json == {"ok": True, "problems": []}


def test_embeddings_of_prompts_are_exported_as_any_other(routed: RouteJob, tmp_path: Path) -> None:
    words = ("--encoder", "tiny", "--split", "test", "--output", tmp_path / "v.npy")
    call(routed.directory, "export", "embeddings", "runs/r", *words)
    assert np.load(tmp_path / "v.npy").shape == (routed.printed["evaluate"]["prompts"], 32)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "runs/r", "-"),
        ("predict", "runs/r/models/seed-0", "-"),
        ("explain", "runs/r"),
        ("compare", "runs/r", "runs/r"),
        ("sweep", "r.toml"),
        ("export", "model", "runs/r", "--output", "m"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_what_takes_classifications_alone_says_what_takes_a_routing(
    routed: RouteJob, words: tuple[str, ...]
) -> None:
    said = refused(routed.directory, *words, code=2)
    assert "kind" in said
    assert "route" in said


@pytest.mark.parametrize("words", [("search", "runs/r", "a sonnet"), ("index", "runs/r")], ids=lambda w: w[0])
def test_what_takes_retrievals_alone_refuses_a_routing(routed: RouteJob, words: tuple[str, ...]) -> None:
    assert 'task.kind = "route"' in refused(routed.directory, *words, code=2)


def test_options_of_heads_are_no_options_of_routers(routed: RouteJob) -> None:
    assert "heads" in call(routed.directory, "train", "r.toml", "--search", "2", code=2).err
    assert "--split" in call(routed.directory, "evaluate", "r.toml", "--on", "x.csv", code=2).err


def test_battles_train_a_router_as_scores_do(fresh: Path) -> None:
    rows = battle_rows()
    write_rows(fresh / "answers.jsonl", rows)
    settings = ("--set", "dataset.id=[]", "--set", 'train.loss="bradley_terry"', "--set", "train.seeds=1")
    (model,) = call(fresh, "train", "r.toml", *settings, "--json").json["models"]
    assert model["validation"]["pairwise_accuracy"] > 0.7
    report = call(fresh, "evaluate", "runs/r", "--json").json
    assert set(report["controls"]) == BASELINES - {"cheapest"} | SINGLES
    assert "aiq" not in report["result"]  # no prices
    assert report["result"]["pairwise_accuracy"]["mean"] > 0.7
    assert report["shares"]
    assert not (fresh / "runs/r/cost-quality-test.svg").exists()
    (line,) = call(fresh, "route", "runs/r", stdin=b"a sonnet of rhyme\n").lines
    assert set(line["cost"].values()) == {None}
    said = refused(fresh, "route", "runs/r", "--max-cost", "1", stdin=b"a sonnet\n", code=2)
    assert "price" in said


def test_battles_of_some_models_beside_scores_of_all_leave_no_model_out(fresh: Path) -> None:
    pair = [row for row in battle_rows() if {row["model_a"], row["model_b"]} == {"small", "poet"}]
    write_rows(fresh / "battles.jsonl", [{**row, "prompt_id": row["prompt"]} for row in pair])
    settings = ("--set", 'dataset.train=["answers.jsonl", "battles.jsonl"]', "--set", "train.seeds=1")
    call(fresh, "train", "r.toml", *settings)
    assert call(fresh, "evaluate", "runs/r", "--json").json["models"] == sorted(MODELS)
    (line,) = call(fresh, "route", "runs/r", stdin=b"a sonnet of rhyme\n").lines
    assert set(line["scores"]) == set(MODELS)


def test_prompts_left_out_and_scores_averaged_are_told_of(fresh: Path) -> None:
    rows = answer_rows()
    write_rows(fresh / "answers.jsonl", [*rows[:80], rows[0]])
    write_rows(fresh / "test.jsonl", rows[78:])
    words = ("extract", "r.toml", "--set", "dataset.test='test.jsonl'", "--split", "test")
    assert "drop_duplicates" in call(fresh, *words, code=2).err
    said = call(fresh, *words, "--set", "dataset.drop_duplicates=true").err
    assert "train: 2 prompts that another split has, too, are left out" in said
    assert "train: 3 scores that were given again are averaged" in said


def test_rare_models_are_told_of_with_their_share_as_drawn(fresh: Path) -> None:
    rows = answer_rows()
    for row in rows[40:]:
        del row["scores"]["solver"]
    write_rows(fresh / "answers.jsonl", rows)
    shown = call(fresh, "train", "r.toml", "--set", "train.seeds=1").out
    assert "share as drawn" in shown
    assert "drawn by their rarer model" in shown
    models = call(fresh, "train", "runs/r", "--json").json["balance"]["models"]
    assert models["solver"]["comparisons"] < models["poet"]["comparisons"]
    assert models["solver"]["weighed_share"] > models["solver"]["share"]


def test_a_model_that_answered_no_test_prompt_is_no_control(fresh: Path) -> None:
    rows = answer_rows()
    for row in rows[80:]:
        del row["scores"]["solver"]
    write_rows(fresh / "answers.jsonl", rows[:80])
    write_rows(fresh / "test.jsonl", rows[80:])
    call(fresh, "train", "r.toml", "--set", "dataset.test='test.jsonl'", "--set", "train.seeds=1")
    report = call(fresh, "evaluate", "runs/r", "--json").json
    assert set(report["verdicts"]) >= SINGLES - {"always solver"}
    assert "always solver" not in report["verdicts"]
    assert not report["shares"]


def test_battles_are_judged_as_they_were_fought(fresh: Path) -> None:
    rows = [row for row in battle_rows() if {row["model_a"], row["model_b"]} != {"poet", "solver"}]
    write_rows(fresh / "answers.jsonl", rows)
    settings = ("--set", "dataset.id=[]", "--set", "train.seeds=1")
    call(fresh, "train", "r.toml", *settings)
    report = call(fresh, "evaluate", "runs/r", "--json").json
    table = pyarrow.parquet.read_table(fresh / "runs/r/scores/test/routers.parquet").to_pydict()
    scores = {
        name: {model: table[f"score {model}"][row] for model in MODELS}
        for row, name in enumerate(table["prompt_id"])
    }
    right = []
    for row in rows:
        told = scores.get(name_by_text(row["prompt"]))
        if told is not None:
            winner, loser = (row[one] for one in ("model_a", "model_b"))
            if row["winner"] == "model_b":
                winner, loser = loser, winner
            right.append(told[winner] > told[loser])
    assert len(right) == 2 * report["prompts"]
    assert report["result"]["pairwise_accuracy"]["mean"] == pytest.approx(np.mean(right))


def test_prices_say_what_battles_cost(fresh: Path) -> None:
    prices = {
        model: {"input_price_usd_per_mtok": 1.0 + place, "output_price_usd_per_mtok": 2.0 + place}
        for place, model in enumerate(MODELS)
    }
    (fresh / "prices.json").write_text(json.dumps(prices), encoding="utf-8")
    write_rows(fresh / "answers.jsonl", battle_rows())
    settings = ("--set", "dataset.id=[]", "--set", 'dataset.prices="prices.json"', "--set", "train.seeds=1")
    call(fresh, "train", "r.toml", *settings)
    report = call(fresh, "evaluate", "runs/r", "--json").json
    assert {"aiq", "apgr"} <= set(report["result"])
    assert "cheapest" in report["controls"]
    costs = {row["name"]: row["cost"] for row in report["leaderboard"]}
    assert costs["cheapest"] == costs["always small"] < costs["always poet"] < costs["always solver"]


def test_words_alone_are_refused_with_what_to_add(fresh: Path) -> None:
    text = (fresh / "r.toml").read_text(encoding="utf-8")
    before, _, after = text.partition("[encoders.tiny]")
    words = '[encoders.words]\nadapter = "lexical"\ndim = 512\n\n[storage]' + after.partition("[storage]")[2]
    (fresh / "r.toml").write_text(before + words, encoding="utf-8")
    assert "dense embeddings" in refused(fresh, "train", "r.toml", code=2)


def test_scores_of_routings_are_no_data_for_a_routing(job: Path) -> None:
    shutil.copytree(job / "runs/r", job / "runs/q")
    words = ("export", "scores", "runs/r", "runs/q", "--output", "s.jsonl")
    assert 'kind "route"' in refused(job, *words, code=2)
