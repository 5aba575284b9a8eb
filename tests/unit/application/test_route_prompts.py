"""Sending prompts to models: what is chosen, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder
from fakes.stores import MemoryRunStore
from numpy.typing import NDArray

from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.router import Prompts, Router
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.application.services.route_prompts import Routed, RoutePrompts, Wish
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.policy import Policy
from fusionapp.domain.routing.prices import Prices

MODELS = ("cheap", "dear", "middling")
SCORES = {"easy": (0.6, 0.8, 0.7), "hard": (-0.8, 0.9, 0.0)}
NAN = float("nan")


@attrs.frozen
class WordRouter(Router):
    """Scores a prompt by its first word."""

    models: tuple[str, ...] = MODELS

    def score(self, prompts: Prompts) -> NDArray[np.float32]:
        assert len(prompts.embeddings["a"]) == len(prompts.texts)
        return np.array([SCORES[text.split()[0]] for text in prompts.texts], dtype=np.float32)

    def success(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((scores + 1) / 2, dtype=np.float32)


def costs(cheap: float = 0.001) -> ExpectedCosts:
    """In another order than the router's models, as a run's may be."""
    return ExpectedCosts(
        ("dear", "middling", "cheap"), Prices({}), np.full(3, NAN), np.array([0.1, 0.01, cheap])
    )


def untold() -> MemoryRunStore:
    """A run that cannot tell which prompts are unfamiliar."""
    runs = MemoryRunStore()
    runs.write_document("familiar.json", {"encoder": None, "share": 0.99})
    return runs


def route(
    *prompts: str,
    wish: Wish | None = None,
    encoder: Encoder | None = None,
    runs: MemoryRunStore | None = None,
    **how: Any,
) -> list[Routed]:
    expected = how.pop("costs", costs())
    encoders = {"a": encoder or CountingEncoder()}
    step = RoutePrompts(runs or untold())
    return list(step(prompts, encoders, WordRouter(), expected, wish or Wish(), **how))


def models(*prompts: str, **how: Any) -> list[str | None]:
    return [one.model for one in route(*prompts, **how)]


def test_the_best_score_wins_where_nothing_else_is_asked_for() -> None:
    easy, hard = route("easy one", "hard one")
    assert (easy.model, easy.reason, easy.familiar) == ("dear", "best", True)
    assert hard.model == "dear"
    assert hard.scores == pytest.approx({"cheap": -0.8, "dear": 0.9, "middling": 0.0})
    assert hard.success == pytest.approx({"cheap": 0.1, "dear": 0.95, "middling": 0.5})
    assert hard.cost == pytest.approx({"cheap": 0.001, "dear": 0.1, "middling": 0.01})


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        (Policy(max_cost=0.05), ["middling", "middling"]),
        (Policy(min_quality=0.7), ["cheap", "dear"]),
        (Policy(trade_off=5.0), ["middling", "middling"]),
        (Policy(trade_off=0.0), ["dear", "dear"]),
    ],
)
def test_a_policy_weighs_success_and_cost(policy: Policy, chosen: list[str]) -> None:
    assert models("easy one", "hard one", wish=Wish(policy)) == chosen


def test_only_the_models_asked_for_are_chosen_but_all_are_told_of() -> None:
    (one,) = route("hard one", wish=Wish(among=("cheap", "middling")))
    assert one.model == "middling"
    assert set(one.scores) == set(MODELS)


def test_an_unknown_price_is_none_and_refused_only_where_it_counts() -> None:
    (one,) = route("easy one", costs=costs(NAN))
    assert one.cost["cheap"] is None
    with pytest.raises(UsageError, match="price, and none is known of cheap; give"):
        route("easy one", costs=costs(NAN), wish=Wish(Policy(max_cost=1.0)))
    among = Wish(Policy(max_cost=0.05), among=("dear", "middling"))
    assert models("easy one", costs=costs(NAN), wish=among) == ["middling"]


@pytest.fixture
def strict() -> MemoryRunStore:
    """A run in which nothing but "easy one" is familiar."""
    runs = MemoryRunStore()
    known = encode_texts(["easy one"] * 10, 0, {"a": CountingEncoder()})["a"]
    runs.write_table("familiar.parquet", {"embedding": np.asarray(known).reshape(10, -1)})
    runs.write_document("familiar.json", {"encoder": "a", "limit": 0.1, "share": 0.99})
    return runs


@pytest.mark.parametrize(
    ("wish", "model", "reason"),
    [
        (Wish(), "dear", "best"),
        (Wish(fallback="middling"), "middling", "unfamiliar"),
        (Wish(abstain=True), None, "unfamiliar"),
    ],
)
def test_an_unfamiliar_prompt_goes_where_it_is_wished_to(
    strict: MemoryRunStore, wish: Wish, model: str | None, reason: str
) -> None:
    easy, hard = route("easy one", "hard one", wish=wish, runs=strict)
    assert (easy.model, easy.reason, easy.familiar) == ("dear", "best", True)
    assert (hard.model, hard.reason, hard.familiar) == (model, reason, False)


@pytest.mark.parametrize("wish", [Wish(fallback="middling"), Wish(abstain=True)])
def test_a_wish_for_unfamiliar_prompts_is_refused_where_none_can_be_told(wish: Wish) -> None:
    with pytest.raises(UsageError, match=r"told by dense embeddings of more than 10 prompts"):
        route("easy one", wish=wish)


@pytest.mark.parametrize("kept", [None, {}])
def test_a_run_whose_familiar_prompts_are_gone_is_corrupt(kept: dict[str, Any] | None) -> None:
    runs = MemoryRunStore()
    if kept is not None:
        runs.write_document("familiar.json", kept)
    with pytest.raises(CorruptArtifactError, match=r"familiar\.json: is gone or damaged; train again"):
        route("easy one", runs=runs)


def test_a_sparse_encoder_may_come_first(strict: MemoryRunStore) -> None:
    encoders: dict[str, Encoder] = {"lexical": LexicalEncoder(dim=64), "a": CountingEncoder()}
    step = RoutePrompts(strict)
    found = step(["easy one", "hard one"], encoders, WordRouter(), costs(), Wish(abstain=True))
    assert [one.model for one in found] == ["dear", None]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(fallback="other"), "model 'other': the router knows cheap, dear, middling"),
        (Wish(among=("dear", "other")), "model 'other'"),
        (Wish(fallback="dear", among=("cheap",)), "fallback 'dear' is not among cheap"),
    ],
)
def test_a_model_that_cannot_be_chosen_is_refused(wish: Wish, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        route("easy one", wish=wish)


def test_prompts_are_read_as_choices_are_taken() -> None:
    read = []

    def prompts() -> Iterator[str]:
        for number in range(10):
            read.append(number)
            yield f"easy {number}"

    step = RoutePrompts(untold())
    found = step(prompts(), {"a": CountingEncoder()}, WordRouter(), costs(), Wish(), batch_size=2)
    assert next(found).prompt == "easy 0"
    assert len(read) == 2


def test_batches_change_nothing() -> None:
    prompts = [f"{word} {row}" for row in range(5) for word in ("easy", "hard")]
    assert route(*prompts, batch_size=3) == route(*prompts)


def test_no_prompts_are_no_choices() -> None:
    assert route() == []


@pytest.mark.parametrize("batch_size", [1, 2, 1024])
def test_a_blank_prompt_is_named_by_its_number_among_all(batch_size: int) -> None:
    with pytest.raises(UsageError, match="text 2 is blank"):
        route("easy one", "hard one", " ", batch_size=batch_size)


def test_a_prompt_without_an_embedding_is_named_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"text 1 .*encoder 'a' gives no embedding: too odd"):
        route("easy one", "easy FAIL", encoder=FailingEncoder(reason="too odd"), batch_size=1)
