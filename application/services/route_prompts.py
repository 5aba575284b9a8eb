"""Send new prompts to models, from raw text on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.router import Prompts, Router
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.application.services.train_router import FAMILIAR, FAMILIAR_ROWS, NEIGHBOURS, flat
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.routing.expected_costs import ExpectedCosts
from fusionapp.domain.routing.familiarity import unfamiliarity
from fusionapp.domain.routing.policy import NO_MODEL, Policy, Reason, choose
from fusionapp.domain.routing.prices import estimate_tokens

Detector = Callable[[Sequence[str], Mapping[str, Embeddings]], NDArray[np.bool_]]
"""(prompts,) which of some prompts, with their embeddings, are unlike those in train."""


@attrs.frozen
class Routed:
    """Where one prompt goes.

    Attributes:
        prompt: the prompt.
        model: the model chosen; None where the router abstains.
        reason: why: best, over_budget, below_quality or unfamiliar.
        familiar: whether the prompt is like those in train.
        scores: of every model, in [-1, 1].
        success: calibrated expected quality of every model, in [0, 1].
        cost: expected USD of every model; None where its price is unknown.
    """

    prompt: str
    model: str | None
    reason: str
    familiar: bool
    scores: Mapping[str, float]
    success: Mapping[str, float]
    cost: Mapping[str, float | None]


@attrs.frozen(eq=False)
class Wish:
    """How to choose.

    Attributes:
        policy: what counts.
        fallback: model of unfamiliar prompts; None treats them as any other.
        abstain: choose no model for unfamiliar prompts.
        among: only these models; empty for all.
    """

    policy: Policy = attrs.field(factory=Policy)
    fallback: str | None = None
    abstain: bool = False
    among: Sequence[str] = ()


@attrs.frozen
class RoutePrompts:
    """Encodes prompts and asks a router.

    Attributes:
        runs: the run that the router is of.
    """

    runs: RunStore

    def __call__(
        self,
        prompts: Iterable[str],
        encoders: Mapping[str, Encoder],
        router: Router,
        costs: ExpectedCosts,
        wish: Wish,
        batch_size: int = 1024,
    ) -> Iterator[Routed]:
        """Choices in input order, a batch at a time.

        Args:
            prompts: read as the choices are taken.
            encoders: by name, the ones that the router was trained on.
            router: a trained router.
            costs: what answers cost.
            wish: how to choose.
            batch_size: prompts encoded at a time; it does not change a choice.

        Raises:
            UsageError: an unknown model, a blank prompt, a price that the policy needs and nobody knows, or a wish
                for unfamiliar prompts of a run that cannot tell which these are.
            CorruptArtifactError: what the run keeps to tell them by is gone or damaged.
        """
        columns = _columns(router.models, wish)
        unfamiliar = self._detector(handled=wish.abstain or wish.fallback is not None)
        remaining, start = iter(prompts), 0
        while batch := list(islice(remaining, batch_size)):
            sources = encode_texts(batch, start, encoders)
            scores = router.score(Prompts(batch, sources))
            yield from _choose(batch, unfamiliar(batch, sources), router, scores, costs, wish, columns)
            start += len(batch)

    def _detector(self, handled: bool) -> Detector:
        """Tells which prompts are unlike those in train."""
        known = self.runs.read_document(FAMILIAR)
        if known is None or not {"encoder", "share"} <= set(known):
            raise CorruptArtifactError(f"{self.runs.directory}/{FAMILIAR}: is gone or damaged; train again")
        encoder = known["encoder"]
        if encoder is None:
            if handled:
                raise UsageError(
                    f"{self.runs.directory}: which prompts are unfamiliar is told by dense embeddings of more "
                    f"than {NEIGHBOURS} prompts of train, and there were none; leave fallback and abstain out"
                )
            return lambda batch, _: np.zeros(len(batch), dtype=np.bool_)
        train = self.runs.read_table(FAMILIAR_ROWS)["embedding"].astype(np.float32)

        def far(_: Sequence[str], sources: Mapping[str, Embeddings]) -> NDArray[np.bool_]:
            return np.asarray(unfamiliarity(flat(sources[encoder]), train, NEIGHBOURS) > known["limit"])

        return far


def _choose(
    batch: Sequence[str],
    unfamiliar: NDArray[np.bool_],
    router: Router,
    scores: NDArray[np.float32],
    costs: ExpectedCosts,
    wish: Wish,
    columns: NDArray[np.int64],
) -> Iterator[Routed]:
    models = [router.models[column] for column in columns]
    success = router.success(scores)
    place = [list(costs.models).index(model) for model in router.models]
    cost = costs.expect(np.array([estimate_tokens(text) for text in batch], dtype=np.float64))[:, place]
    _check_prices(models, cost[:, columns], wish.policy)
    handled = unfamiliar if wish.abstain or wish.fallback is not None else None
    chosen = choose(
        scores[:, columns],
        success[:, columns],
        cost[:, columns],
        wish.policy,
        handled,
        None if wish.fallback is None else models.index(wish.fallback),
    )
    for row, prompt in enumerate(batch):
        model = int(chosen.model[row])
        yield Routed(
            prompt=prompt,
            model=None if model == NO_MODEL else models[model],
            reason=Reason(int(chosen.reason[row])).name.lower(),
            familiar=not unfamiliar[row],
            scores=dict(zip(router.models, scores[row].tolist(), strict=True)),
            success=dict(zip(router.models, success[row].tolist(), strict=True)),
            cost={
                name: float(value) if np.isfinite(value) else None
                for name, value in zip(router.models, cost[row], strict=True)
            },
        )


def _columns(models: Sequence[str], wish: Wish) -> NDArray[np.int64]:
    """The models to choose among.

    Raises:
        UsageError: one that the router does not know.
    """
    asked = [*wish.among, *([wish.fallback] if wish.fallback is not None else [])]
    for model in asked:
        if model not in models:
            raise UsageError(f"model {model!r}: the router knows {', '.join(models)}")
    if wish.among and wish.fallback is not None and wish.fallback not in wish.among:
        raise UsageError(f"fallback {wish.fallback!r} is not among {', '.join(wish.among)}; add it")
    return np.array([models.index(model) for model in wish.among or models], dtype=np.int64)


def _check_prices(models: Sequence[str], cost: NDArray[np.float64], policy: Policy) -> None:
    """Refuse a policy that hangs on prices that nobody knows.

    Raises:
        UsageError: names the models.
    """
    unpriced = [model for model, costs in zip(models, cost.T, strict=True) if not np.isfinite(costs).all()]
    if policy.needs_cost and unpriced:
        raise UsageError(
            f"max_cost, min_quality and trade_off need every model's price, and none is known of "
            f"{', '.join(unpriced)}; give dataset.prices or costs and train again, or choose among other models"
        )
