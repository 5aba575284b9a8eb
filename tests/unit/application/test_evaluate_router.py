"""Judging a router: every contestant's numbers, verdicts, and what is kept of each prompt."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from fakes.routers import MODELS, toy_answers
from fakes.stores import MemoryRunStore
from numpy.typing import NDArray

from fusionapp.application.services.evaluate_router import EvaluateRouter, RouterEvaluation
from fusionapp.application.services.router_metrics import (
    COMPARED,
    LESS_IS_BETTER,
    Contestant,
    Field,
    judge_contestant,
    oracle_of,
    single_model,
)
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.answers import BOTH_BAD, FIRST, SECOND, Battles
from fusionapp.domain.routing.conversions import battles_of_scores, scores_of_battles
from fusionapp.domain.routing.metrics import best_single
from fusionapp.entrypoints.routing.pictures import cost_quality_picture
from fusionapp.entrypoints.routing.reports import read_evaluation, reading, write_evaluation

TEST = toy_answers(80, seed=2)
QUALITY = TEST.scores.quality
FIELD = Field(list(MODELS), QUALITY, TEST.scores.cost, best_single(QUALITY), 3)
UNPRICED = attrs.evolve(FIELD, cost=np.full(QUALITY.shape, np.nan))
HOLES = attrs.evolve(FIELD, quality=np.where(np.arange(320).reshape(80, 4) % 7 == 0, np.nan, QUALITY))


def contestant(name: str, *noise: float, seed: int = 0) -> Contestant:
    """One seed for each amount of noise upon the truth."""
    rng = np.random.default_rng(seed)
    success = [np.clip(QUALITY + rng.normal(size=QUALITY.shape) * one, 0, 1) for one in noise]
    floats = [one.astype(np.float32) for one in success]
    return Contestant(name, [2 * one - 1 for one in floats], floats)


def evaluate(
    field: Field = FIELD, baselines: bool = True, runs: MemoryRunStore | None = None
) -> RouterEvaluation:
    return EvaluateRouter(runs or MemoryRunStore())(
        split="test",
        prompt_ids=[f"p{row}" for row in range(80)],
        field=field,
        result=contestant("router", 0.1, 0.2),
        ensemble=contestant("ensemble of seeds", 0.1),
        controls=[contestant("noise", 5.0), contestant("twin", 0.1, 0.2)],
        draws=2000,
        baselines=baselines,
    )


def evaluate_exactly(field: Field) -> RouterEvaluation:
    """By a router that foretells `QUALITY` without an error."""
    sure = contestant("router", 0.0)
    return EvaluateRouter(MemoryRunStore())(
        split="test",
        prompt_ids=[f"p{row}" for row in range(80)],
        field=field,
        result=sure,
        ensemble=sure,
        controls=[],
        draws=200,
        baselines=False,
    )


def slow_quality(scores: NDArray[np.float32], field: Field) -> float:
    """Mean known quality of the best-scored model's answer; of equals the cheaper, prompt by prompt."""
    total, known = 0.0, 0
    for row in range(len(scores)):
        best = max(range(scores.shape[1]), key=lambda column: (scores[row, column], -column))
        if np.isfinite(field.quality[row, best]):
            total, known = total + field.quality[row, best], known + 1
    return total / known


@pytest.mark.parametrize("field", [FIELD, HOLES], ids=["whole", "holes"])
def test_quality_is_that_of_the_chosen_answers_over_seeds(field: Field) -> None:
    noisy = contestant("x", 0.1, 0.9)
    quality = judge_contestant(noisy, field, 200).metrics["quality"]
    seeds = [slow_quality(scores, field) for scores in noisy.scores]
    assert quality.mean == pytest.approx(np.mean(seeds))
    assert quality.sd == pytest.approx(np.std(seeds, ddof=1))
    assert quality.low < quality.mean < quality.high


def test_the_oracle_closes_the_whole_gap() -> None:
    metrics = judge_contestant(oracle_of(FIELD), FIELD, 200).metrics
    assert metrics["quality"].mean == pytest.approx(QUALITY.max(axis=1).mean())
    assert metrics["gap_to_oracle"].mean == pytest.approx(0)
    assert metrics["gap_closed"].mean == pytest.approx(1)
    assert metrics["pairwise_accuracy"].mean == 1
    assert metrics["ece"].mean == pytest.approx(0, abs=1e-6)


def test_a_single_model_has_its_own_quality_and_cost_and_no_ranking() -> None:
    judged = judge_contestant(single_model("both", 2, FIELD), FIELD, 200)
    assert judged.metrics["quality"].mean == pytest.approx(QUALITY[:, 2].mean())
    assert judged.cost == pytest.approx(0.03)
    assert not {"pairwise_accuracy", "apgr", "ece"} & set(judged.metrics)


def test_a_single_models_area_is_its_quality_whatever_is_unknown_of_it() -> None:
    judged = judge_contestant(single_model("both", 2, HOLES), HOLES, 200)
    assert judged.metrics["quality"].mean == pytest.approx(np.nanmean(HOLES.quality[:, 2]))
    dear = judge_contestant(
        single_model("algebra", 0, HOLES), HOLES, 200
    )  # the cheapest: flat over all costs
    assert dear.metrics["aiq"].mean == pytest.approx(np.nanmean(HOLES.quality[:, 0]))


def test_choices_weigh_the_cost_that_is_foretold_and_pay_the_real_one() -> None:
    # Of equal scores the model that was thought cheaper is chosen, though it turns out dearer.
    foretold = np.tile([0.05, 0.01, 0.05, 0.05], (80, 1))
    field = attrs.evolve(FIELD, cost=np.tile([0.01, 0.09, 0.09, 0.09], (80, 1)), foretold=foretold)
    equal = np.zeros(QUALITY.shape, dtype=np.float32)
    judged = judge_contestant(Contestant("equal", [equal], [equal + np.float32(0.5)]), field, 200)
    assert judged.metrics["quality"].mean == pytest.approx(QUALITY[:, 1].mean())
    assert judged.cost == pytest.approx(0.09)
    assert [cost for cost, _ in judged.curve] == pytest.approx([0.09])


def test_without_a_foretold_cost_nothing_is_weighed_by_it() -> None:
    untold = attrs.evolve(FIELD, foretold=UNPRICED.cost)
    judged = judge_contestant(contestant("x", 0.1), untold, 200)
    assert judged.cost is None
    assert "aiq" not in judged.metrics


def test_without_prices_there_is_no_cost_no_area_and_no_curve() -> None:
    judged = judge_contestant(contestant("x", 0.1), UNPRICED, 200)
    assert judged.cost is None
    assert not judged.curve
    assert "aiq" not in judged.metrics
    assert "apgr" in judged.metrics


def test_a_weak_model_that_is_as_good_as_the_strong_one_has_no_handover() -> None:
    same = attrs.evolve(FIELD, weak=FIELD.best_single)
    better = attrs.evolve(FIELD, weak=FIELD.best_single, best_single=3)
    for field in (same, better):
        assert not {"apgr", "cpt@50"} & set(judge_contestant(contestant("x", 0.1), field, 200).metrics)


def test_answers_that_are_all_alike_are_judged_without_a_ranking() -> None:
    field = attrs.evolve(FIELD, quality=np.full(QUALITY.shape, 0.5))
    evaluation = evaluate(field)
    assert evaluation.result["quality"].mean == 0.5
    assert not {"pairwise_accuracy", "gap_closed", "apgr"} & set(evaluation.result)
    assert set(evaluation.verdicts.values()) == {"not separable"}
    write_evaluation(MemoryRunStore(), evaluation, "basis")


def test_answers_that_differ_on_one_prompt_are_compared_by_the_draws_that_hold_it() -> None:
    quality = np.full(QUALITY.shape, 0.5)
    quality[7, 0] = 1.0
    evaluation = evaluate(attrs.evolve(FIELD, quality=quality))
    assert "pairwise_accuracy" in evaluation.result
    assert "pairwise_accuracy" in evaluation.other_differences["noise"]
    write_evaluation(MemoryRunStore(), evaluation, "basis")


def test_handovers_are_judged_though_the_strong_model_is_not_better_in_some_draws() -> None:
    rng = np.random.default_rng(1)
    close = rng.uniform(size=QUALITY.shape)
    close[:, 3] = close[:, 0] + rng.normal(size=80) * 0.05 - 0.003
    field = attrs.evolve(FIELD, quality=close, best_single=0, weak=3)
    assert 0 < close[:, 0].mean() - close[:, 3].mean() < 0.02
    assert np.isfinite(judge_contestant(contestant("x", 0.1, 0.2), field, 500).metrics["apgr"].mean)


def test_a_curve_rises_from_cheap_to_good() -> None:
    curve = np.array(judge_contestant(contestant("x", 0.05), FIELD, 200).curve)
    assert (np.diff(curve[:, 0]) >= 0).all()
    assert curve[0, 0] == pytest.approx(0.01)  # "algebra" everywhere
    assert curve[-1, 1] > curve[0, 1]


def test_a_router_beats_noise_and_is_not_told_from_its_twin() -> None:
    evaluation = evaluate()
    assert evaluation.verdicts["noise"] == "better"
    assert evaluation.verdicts["twin"] == "not separable"
    assert evaluation.differences["twin"].estimate == 0
    assert evaluation.differences["noise"].estimate == pytest.approx(
        evaluation.result["quality"].mean - evaluation.controls["noise"]["quality"].mean
    )
    assert set(evaluation.controls) == {"noise", "twin", *(f"always {model}" for model in MODELS)}


def test_the_leaderboard_holds_everyone_by_quality() -> None:
    evaluation = evaluate()
    names = [row.name for row in evaluation.leaderboard]
    assert set(names) == {
        *("router", "ensemble of seeds", "noise", "twin", "oracle"),
        *(f"always {model}" for model in MODELS),
    }
    assert names[0] == "oracle"
    assert names[-1] == "always weak"
    qualities = [row.metrics["quality"].mean for row in evaluation.leaderboard]
    assert qualities == sorted(qualities, reverse=True)
    verdicts = {row.name: row.verdict for row in evaluation.leaderboard}
    assert verdicts["oracle"] == verdicts["router"] == ""


def test_the_front_holds_what_nothing_that_can_be_bought_is_as_cheap_and_as_good_as() -> None:
    rows = {row.name: row for row in evaluate().leaderboard}
    assert not rows["oracle"].on_front
    for row in rows.values():
        assert row.cost is not None
        beaten = any(
            other.cost <= row.cost and other.metrics["quality"].mean > row.metrics["quality"].mean
            for other in rows.values()
            if other.name != "oracle" and other.cost is not None
        )
        assert not (row.on_front and beaten), row.name
    assert any(row.on_front for row in rows.values())


def test_a_model_of_which_no_answer_is_known_is_left_out_with_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    quality = QUALITY.copy()
    quality[:, 3] = np.nan
    evaluation = evaluate(attrs.evolve(FIELD, quality=quality, weak=0))
    assert set(evaluation.verdicts) == {"noise", "twin", "always algebra", "always poetry", "always both"}
    assert "always weak: left out, as no answer that it chose is known in test" in caplog.text


def test_a_router_of_whose_choices_nothing_is_known_cannot_be_judged() -> None:
    quality = np.full(QUALITY.shape, np.nan)
    never = QUALITY.argmin(axis=1)
    quality[np.arange(80), never] = 0.5
    with pytest.raises(
        UsageError, match="of no prompt is it known how good the answer of the chosen model is"
    ):
        evaluate_exactly(attrs.evolve(FIELD, quality=quality))


def test_shares_of_wins_are_said_to_be_none_of_quality() -> None:
    fought = evaluate(attrs.evolve(FIELD, battles=battles_of_scores(TEST.scores)))
    assert fought.shares
    assert "battles alone" in reading(fought)
    assert not evaluate().shares
    assert "battles alone" not in reading(evaluate())


def test_without_baselines_only_those_given_are_judged() -> None:
    evaluation = evaluate(baselines=False)
    assert set(evaluation.controls) == {"noise", "twin"}
    assert "oracle" not in [row.name for row in evaluation.leaderboard]


def test_what_is_kept_of_each_prompt_recomputes_the_means() -> None:
    runs = MemoryRunStore()
    evaluation = evaluate(runs=runs)
    table = runs.tables["scores/test/routers.parquet"]
    assert list(table["prompt_id"]) == [f"p{row}" for row in range(80)]
    np.testing.assert_array_equal(table["quality both"], QUALITY[:, 2])
    for name, metrics in (("router", evaluation.result), ("noise", evaluation.controls["noise"])):
        assert table[f"chosen quality {name}"].mean() == pytest.approx(metrics["quality"].mean)
    assert {f"score {model}" for model in MODELS} | {f"success {model}" for model in MODELS} <= set(table)


@pytest.mark.parametrize("field", [FIELD, UNPRICED, HOLES], ids=["priced", "unpriced", "holes"])
def test_an_evaluation_survives_its_document(field: Field) -> None:
    runs = MemoryRunStore()
    evaluation = evaluate(field)
    write_evaluation(runs, evaluation, "basis")
    kept = read_evaluation(runs, "test", "basis")
    assert kept is not None
    assert repr(list(kept.leaderboard)) == repr(list(evaluation.leaderboard))
    assert dict(kept.verdicts) == dict(evaluation.verdicts)
    assert {name: list(curve) for name, curve in kept.curves.items()} == dict(evaluation.curves)
    assert repr(list(kept.calibration)) == repr(list(evaluation.calibration))
    assert read_evaluation(runs, "test", "another") is None
    assert read_evaluation(runs, "validation", "basis") is None


def test_a_picture_shows_routers_as_curves_and_models_as_points() -> None:
    picture = cost_quality_picture(evaluate())
    assert picture is not None
    assert set(picture.curves) == {"ensemble of seeds"}
    assert set(picture.points) == set(MODELS)
    assert picture.points["both"] == pytest.approx((30.0, QUALITY[:, 2].mean()))
    assert cost_quality_picture(evaluate(UNPRICED)) is None


def test_where_answers_are_battles_the_battles_that_were_fought_are_judged() -> None:
    """Two pairs of four met on the first prompt, and one pair three times on the second."""
    numbers = ((0, 0, 1, FIRST), (0, 2, 3, FIRST), (1, 0, 1, FIRST), (1, 0, 1, FIRST), (1, 1, 0, FIRST))
    prompts, first, second, outcome = np.array(numbers, dtype=np.int64).T
    battles = Battles(MODELS, prompts, first, second, outcome.astype(np.int8))
    quality = scores_of_battles(battles, 2).quality
    field = Field(list(MODELS), quality, np.full((2, 4), np.nan), 0, 3, battles=battles)
    scores = np.array([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    metrics = judge_contestant(Contestant("x", [scores], [scores]), field, 200).metrics
    assert metrics["pairwise_accuracy"].mean == pytest.approx(4 / 5)
    # Shares of wins pair models that never met (the second and the third), and know no lost battle of a pair.
    shares = judge_contestant(Contestant("x", [scores], [scores]), attrs.evolve(field, battles=None), 200)
    assert shares.metrics["pairwise_accuracy"].mean == pytest.approx((3 + 1) / 5)


def test_ties_of_battles_count_where_ties_do() -> None:
    battles = Battles(
        MODELS,
        np.zeros(2, np.int64),
        np.array([0, 2]),
        np.array([1, 3]),
        np.array([SECOND, BOTH_BAD], np.int8),
    )
    quality = scores_of_battles(battles, 1).quality
    field = Field(list(MODELS), quality, np.full((1, 4), np.nan), 0, 3, battles=battles)
    scores = np.array([[0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    metrics = judge_contestant(Contestant("x", [scores], [scores]), field, 100).metrics
    assert metrics["pairwise_accuracy"].mean == 0.0
    assert metrics["pairwise_accuracy_with_ties"].mean == pytest.approx(0.25)


def test_battles_of_every_two_models_say_what_the_scores_say() -> None:
    fought = attrs.evolve(FIELD, battles=battles_of_scores(TEST.scores))
    for name in ("pairwise_accuracy", "pairwise_accuracy_with_ties"):
        both = [judge_contestant(contestant("x", 0.5), one, 200).metrics[name] for one in (FIELD, fought)]
        assert both[0] == both[1]


def test_there_is_a_verdict_on_each_metric_that_both_have() -> None:
    found = evaluate()
    assert set(found.other_verdicts["noise"]) == set(COMPARED) - {"quality"}
    assert set(found.other_verdicts["always both"]) == {"aiq"}
    assert found.other_verdicts["noise"]["pairwise_accuracy"] == "better"
    assert set(found.other_verdicts["twin"].values()) == {"not separable"}


@pytest.mark.parametrize("metric", sorted(LESS_IS_BETTER))
def test_a_verdict_on_what_should_be_small_says_better_of_the_smaller(metric: str) -> None:
    found = evaluate()
    difference, said = found.other_differences["noise"][metric], found.other_verdicts["noise"][metric]
    assert difference.estimate < 0
    assert said == ("better" if difference.interval.high < 0 else "not separable")
