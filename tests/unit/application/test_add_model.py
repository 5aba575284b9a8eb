"""A new model enters a trained run: what it is fitted on, what it costs, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cold_starts import MODELS, PRICES, ColdBench, bard_rows, rows_of
from fakes.routers import NearestPromptRouters

from fusionapp.application.ports.router import Router
from fusionapp.domain.errors import DatasetError, UsageError
from fusionapp.domain.routing.prices import Price
from fusionapp.domain.routing.rows import ScoreRow


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> ColdBench:
    return ColdBench(tmp_path)


@pytest.fixture(name="priced")
def _priced(tmp_path: Path) -> ColdBench:
    return ColdBench(tmp_path, PRICES)


def test_a_model_is_scored_by_every_seed_and_by_their_ensemble(bench: ColdBench) -> None:
    bench.add()
    prompts = bench.prompts("verse anew", "sums anew")
    for member in ("ensemble", "seed-0", "seed-1"):
        router = bench.open(member)
        assert tuple(router.models) == (*MODELS, "bard")
        verse, sums = router.score(prompts)[:, 3]
        assert verse == pytest.approx(2 * 0.95 - 1, abs=0.2)
        assert sums == pytest.approx(2 * 0.25 - 1, abs=0.2)


def test_it_is_told_better_than_by_its_mean_which_is_blind_to_the_prompt(bench: ColdBench) -> None:
    added = bench.add()
    fresh = bard_rows(40, "other prompts")
    truth = np.array([next(iter(row.scores.values())) for row in fresh if isinstance(row, ScoreRow)])
    told = (bench.open().score(bench.prompts(*(row.prompt for row in fresh)))[:, 3] + 1) / 2
    assert np.square(told - truth).mean() < 0.1 * np.square(added.mean_quality - truth).mean()


def test_it_says_by_how_many_probes_it_entered_and_as_which_mixture(bench: ColdBench) -> None:
    added = bench.add([*bard_rows(20), *bard_rows(4)])
    assert (added.model, added.replaced, added.probes) == ("bard", False, 20)
    assert added.penalty > 0
    assert set(added.weights) == set(MODELS)
    assert max(added.weights, key=lambda model: added.weights[model]) == "poet"
    assert added.mean_quality == pytest.approx(0.6)


def test_the_cost_is_measured_on_the_models_of_training(bench: ColdBench) -> None:
    measured = bench.add(bard_rows(6)).cold_start
    assert measured is not None
    assert (measured.prompts, measured.mean.probes) == (24, 6)
    assert {cost.model for cost in measured.models} == set(MODELS)
    for cost in measured.models:
        assert cost.entered_error >= cost.trained_error
        assert cost.trained_quality >= cost.absent_quality
    mean = np.mean([cost.entered_quality for cost in measured.models])
    assert measured.mean.entered_quality == pytest.approx(mean)


def test_half_of_validation_is_left_to_measure_on_where_probes_are_many(bench: ColdBench) -> None:
    measured = bench.add(bard_rows(30)).cold_start
    assert measured is not None
    assert measured.mean.probes == 12


def test_a_validation_of_one_prompt_measures_nothing(tmp_path: Path) -> None:
    bench = ColdBench(tmp_path, counts={"train": 40, "validation": 1, "test": 4})
    assert bench.add().cold_start is None
    assert "bard" in bench.open().models


def test_stored_embeddings_are_not_computed_again(bench: ColdBench) -> None:
    rows = [*bard_rows(3, "train"), *bard_rows(2, "elsewhere"), *bard_rows(4, "test")]
    mixed = [rows[place] for place in (3, 0, 5, 8, 4, 1, 6, 7, 2)]
    assert bench.add(mixed).stored == {"train": 3, "test": 4}
    assert sorted(bench.encoder.encoded) == ["sums 1 of elsewhere", "verse 0 of elsewhere"]


def test_probes_keep_their_answers_wherever_their_embeddings_come_from(bench: ColdBench) -> None:
    rows = [*bard_rows(6, "train"), *bard_rows(5, "elsewhere"), *bard_rows(6, "test")]
    order = np.random.default_rng(0).permutation(len(rows))
    bench.add([rows[place] for place in order])
    mixed = bench.open().score(bench.prompts("verse anew", "sums anew"))
    verse, sums = mixed[:, 3]
    assert verse > sums + 0.8


def test_probes_that_the_routers_were_trained_on_are_told_of(
    bench: ColdBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.add(bard_rows(6, "validation"))
    assert not caplog.records
    bench.add([*bard_rows(6, "train"), *bard_rows(4)], overwrite=True)
    assert "6 of 10 probes stand in train" in caplog.text


def test_a_second_model_leaves_the_first_as_it_was(bench: ColdBench) -> None:
    bench.add()
    prompts = bench.prompts("verse anew", "sums anew")
    before = bench.open().score(prompts)
    bench.add(bard_rows(9, name="other"), name="other")
    after = bench.open()
    assert tuple(after.models) == (*MODELS, "bard", "other")
    np.testing.assert_array_equal(after.score(prompts)[:, :4], before)


def test_a_name_that_entered_is_replaced_only_when_told_to(bench: ColdBench) -> None:
    bench.add()
    with pytest.raises(UsageError, match="'bard' has entered before; give --overwrite"):
        bench.add(bard_rows(8))
    assert bench.add(bard_rows(8), overwrite=True).replaced
    assert tuple(bench.open().models) == (*MODELS, "bard")
    assert bench.add(bard_rows(8, name="x"), name="x", overwrite=True).replaced is False


@pytest.mark.parametrize("name", ["poet", " "])
def test_a_name_that_was_trained_on_or_is_none_is_refused(bench: ColdBench, name: str) -> None:
    with pytest.raises(UsageError, match="name"):
        bench.add(bard_rows(name=name), name=name, overwrite=True)


class FailingRouters(NearestPromptRouters):
    """Cannot open the router of the second seed, as if it were killed there."""

    def open(self, directories: Sequence[str]) -> Router:
        if len(directories) == 1 and directories[0].endswith("seed-1"):
            raise KeyboardInterrupt
        return super().open(directories)


def test_what_is_cut_short_between_seeds_changes_nothing_and_can_be_done_again(bench: ColdBench) -> None:
    bench.add()
    prompts = bench.prompts("verse anew", "sums anew")
    before = {member: bench.open(member).score(prompts) for member in ("ensemble", "seed-0", "seed-1")}
    bench.routers = FailingRouters()
    with pytest.raises(KeyboardInterrupt):
        bench.add(bard_rows(7), overwrite=True)
    bench.routers = NearestPromptRouters()
    for member, scores in before.items():
        np.testing.assert_array_equal(bench.open(member).score(prompts), scores)
    assert bench.add(bard_rows(7), overwrite=True).probes == 7


def test_routers_that_were_trained_anew_do_not_know_it_and_take_it_again(
    bench: ColdBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.add()
    router = Path(bench.runs.path("models/seed-0/router.safetensors"))
    router.write_bytes(router.read_bytes() + b"x")
    bench.train(overwrite=True)
    assert tuple(bench.open().models) == MODELS
    assert "bard entered routers that were trained anew since" in caplog.text
    assert not bench.add().replaced
    assert tuple(bench.open().models) == (*MODELS, "bard")


def test_a_price_is_needed_where_all_others_have_one(priced: ColdBench) -> None:
    with pytest.raises(UsageError, match="--price-in and --price-out, or --prices FILE"):
        priced.add()
    assert priced.runs.read_document("newcomers.json") is None
    with pytest.raises(UsageError, match=r"tokens of its answers .* dataset\.answer_tokens"):
        priced.add(price=Price(1.0, 2.0))
    costs = priced.add(price=Price(1.0, 2.0), answer_tokens=50).costs
    np.testing.assert_allclose(costs.expect(np.array([100.0])), [[200e-6]])


def test_answers_tokens_and_costs_of_the_probes_say_more_than_a_default(priced: ColdBench) -> None:
    counted = bard_rows(tokens={"bard": 500.0})
    costs = priced.add(counted, price=Price(1.0, 2.0), answer_tokens=50).costs
    np.testing.assert_allclose(costs.expect(np.array([100.0])), [[1100e-6]])
    spent = priced.add(bard_rows(costs={"bard": 0.25}), overwrite=True).costs
    np.testing.assert_allclose(spent.expect(np.array([100.0])), [[0.25]])


def test_costs_of_the_models_of_training_stay_what_they_were(priced: ColdBench) -> None:
    priced.add(price=Price(5.0, 5.0), answer_tokens=50)
    _, costs = priced.extend(
        priced.routers.open([priced.runs.path("models/seed-0")]), "seed-0", priced.load.costs()
    )
    assert list(costs.models) == [*MODELS, "bard"]
    expected = costs.expect(np.array([100.0]))
    np.testing.assert_array_equal(expected[:, :3], priced.load.costs().expect(np.array([100.0])))
    np.testing.assert_allclose(expected[:, 3], 750e-6)


def test_without_prices_none_is_needed(bench: ColdBench) -> None:
    assert np.isnan(bench.add().costs.expect(np.array([100.0]))).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [([], "holds no row"), (rows_of("probes", 3), "no score of 'bard', but of poet, solver, weak")],
)
def test_probes_without_an_answer_of_the_model_are_refused(
    bench: ColdBench, rows: list[Any], said: str
) -> None:
    with pytest.raises(DatasetError, match=said):
        bench.add(rows)


def test_a_run_that_is_not_trained_is_refused(bench: ColdBench) -> None:
    bench.runs.write_document("models/trained.json", {"carried": None, "seconds": 0.0, "routers": []})
    with pytest.raises(UsageError, match="is not trained"):
        bench.add()


def test_answers_that_changed_since_training_are_refused(bench: ColdBench) -> None:
    table = bench.runs.read_table("answers/validation.parquet")
    bench.runs.write_table("answers/validation.parquet", {**table, "quality": table["quality"] / 2})
    with pytest.raises(UsageError, match="not those that its routers know"):
        bench.add()
