"""Routers that know newcomers, and the document that keeps these: trusted in nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.routers import answers_of, toy_answers
from fakes.stores import MemoryRunStore

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.routers.baselines import NumpyBaselines
from fusionapp.application.ports.router import Router
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.extend_router import Entered, ExtendedRouter, ExtendRouter
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.mapping import quality_of_score
from fusionapp.domain.routing.newcomers import Newcomer, fit_newcomer
from fusionapp.domain.routing.prices import Price, Prices

KNOWN = ("algebra", "both", "weak")
NAN = np.array([np.nan])
COSTS = ExpectedCosts(("new",), Prices({"new": Price(1.0, 2.0)}), np.array([100.0]), NAN)
KNOWN_COSTS = ExpectedCosts(KNOWN, Prices({}), np.full(3, np.nan), np.array([0.1, 0.2, 0.3]))


@pytest.fixture(params=["memory", "directory"])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> RunStore:
    store: RunStore = MemoryRunStore(tmp_path) if request.param == "memory" else RunDirectory(tmp_path)
    store.write_document("models/trained.json", {"seconds": 1.0})
    return store


@pytest.fixture(scope="module", name="trained")
def _trained() -> Router:
    """A router that does not know "poetry"."""
    train, validation = (
        answers_of(each.prompts, np.delete(each.scores.quality, 1, axis=1), KNOWN)
        for each in (toy_answers(), toy_answers(60, seed=1))
    )
    return NumpyBaselines().fit_baseline("ridge", train, validation, 0)


def newcomer(trained: Router, rows: int = 30) -> Newcomer:
    """As good as algebra at the same prompts, but for a tenth."""
    probes = toy_answers(rows, seed=4)
    return fit_newcomer(
        "new", quality_of_score(trained.score(probes.prompts)), probes.scores.quality[:, 0] * 0.9
    )


def test_a_newcomer_is_scored_beside_the_others_which_stay_as_they_were(trained: Router) -> None:
    router = ExtendedRouter(trained, [newcomer(trained)])
    fresh = toy_answers(80, seed=2)
    scores = router.score(fresh.prompts)
    assert tuple(router.models) == (*KNOWN, "new")
    np.testing.assert_array_equal(scores[:, :3], trained.score(fresh.prompts))
    assert scores.dtype == np.float32
    assert np.abs(scores).max() <= 1
    assert np.corrcoef(scores[:, 3], fresh.scores.quality[:, 0])[0, 1] > 0.8


def test_success_is_on_the_scale_of_the_known_models(trained: Router) -> None:
    router = ExtendedRouter(trained, [newcomer(trained)])
    scores = router.score(toy_answers(20, seed=2).prompts)
    assert router.success(scores).shape == (20, 4)
    np.testing.assert_array_equal(router.success(scores)[:, :3], trained.success(scores[:, :3]))


def test_newcomers_kept_are_newcomers_read_bit_for_bit(trained: Router, runs: RunStore) -> None:
    few, many = newcomer(trained, 10), newcomer(trained)
    extend = ExtendRouter(runs)
    extend.write(KNOWN, {"new": Entered({"ensemble": many, "seed-0": few}, COSTS)})
    prompts = toy_answers(20, seed=2).prompts
    for member, one in (("ensemble", many), ("seed-0", few)):
        router, costs = extend(trained, member, KNOWN_COSTS)
        np.testing.assert_array_equal(router.score(prompts), ExtendedRouter(trained, [one]).score(prompts))
        np.testing.assert_allclose(costs.expect(np.array([100.0])), [[0.1, 0.2, 0.3, 300e-6]])
    assert extend.names() == ["new"]
    assert runs.verify() == []


def test_without_newcomers_a_router_is_as_it_was(trained: Router, runs: RunStore) -> None:
    assert ExtendRouter(runs)(trained, "ensemble", KNOWN_COSTS) == (trained, KNOWN_COSTS)
    assert ExtendRouter(runs).names() == []


def test_routers_that_were_trained_anew_take_nothing_of_what_entered_others(
    trained: Router, runs: RunStore, caplog: pytest.LogCaptureFixture
) -> None:
    ExtendRouter(runs).write(KNOWN, {"new": Entered({"ensemble": newcomer(trained)}, COSTS)})
    runs.write_document("models/trained.json", {"seconds": 2.0})
    assert ExtendRouter(runs)(trained, "ensemble", KNOWN_COSTS) == (trained, KNOWN_COSTS)
    assert "new entered routers that were trained anew since" in caplog.text
    assert ExtendRouter(runs).names() == []


def changed(change: Callable[[dict[str, Any]], object], runs: RunStore) -> None:
    document = runs.read_document("newcomers.json")
    assert document is not None
    change(document)
    runs.write_document("newcomers.json", document)


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "another format": lambda d: d.update(format=2),
    "other models": lambda d: d.update(models=["algebra", "both"]),
    "no newcomers": lambda d: d.pop("newcomers"),
    "a list": lambda d: d.update(newcomers=["new"]),
    "a name of training": lambda d: d["newcomers"].update(weak=d["newcomers"]["new"]),
    "no mixtures": lambda d: d["newcomers"]["new"].pop("mixtures"),
    "another width": lambda d: d["newcomers"]["new"]["mixtures"]["ensemble"]["weights"].pop(),
    "a weight below 0": lambda d: d["newcomers"]["new"]["mixtures"]["ensemble"].update(weights=[1, -1, 0]),
    "words": lambda d: d["newcomers"]["new"]["mixtures"]["ensemble"].update(centre=["a", "b", "c"]),
    "no level": lambda d: d["newcomers"]["new"]["mixtures"]["ensemble"].update(level=None),
    "no costs": lambda d: d["newcomers"]["new"].pop("costs"),
    "a price below 0": lambda d: d["newcomers"]["new"]["costs"].update(input_price_usd_per_mtok=-1),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS.keys())
def test_a_document_that_describes_no_newcomers_is_corrupt(
    trained: Router, runs: RunStore, change: Callable[[dict[str, Any]], object]
) -> None:
    ExtendRouter(runs).write(KNOWN, {"new": Entered({"ensemble": newcomer(trained)}, COSTS)})
    changed(change, runs)
    with pytest.raises(CorruptArtifactError, match=r"newcomers\.json.*add the models again"):
        ExtendRouter(runs)(trained, "ensemble", KNOWN_COSTS)


def test_numbers_that_are_not_finite_are_corrupt(trained: Router, tmp_path: Path) -> None:
    runs = RunDirectory(tmp_path)
    runs.write_document("models/trained.json", {})
    ExtendRouter(runs).write(KNOWN, {"new": Entered({"ensemble": newcomer(trained)}, COSTS)})
    document = json.loads((tmp_path / "newcomers.json").read_text(encoding="utf-8"))
    document["newcomers"]["new"]["mixtures"]["ensemble"]["level"] = float("inf")
    (tmp_path / "newcomers.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(CorruptArtifactError, match="no mixture"):
        ExtendRouter(runs)(trained, "ensemble", KNOWN_COSTS)


def test_a_router_that_a_newcomer_did_not_enter_is_told(trained: Router, runs: RunStore) -> None:
    ExtendRouter(runs).write(KNOWN, {"new": Entered({"ensemble": newcomer(trained)}, COSTS)})
    with pytest.raises(CorruptArtifactError, match="'new' did not enter seed-7"):
        ExtendRouter(runs)(trained, "seed-7", KNOWN_COSTS)
