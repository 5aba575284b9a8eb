from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError
from fusionapp.domain.retrieval.contrastive import (
    info_nce,
    margin_loss,
    similarities,
    triplet_loss,
    truncated,
)

RNG = np.random.default_rng(0)
QUERIES, DOCUMENTS = RNG.normal(size=(4, 8)), RNG.normal(size=(7, 8))
SCORES = similarities(QUERIES, DOCUMENTS)
POSITIVES = np.array([2, 0, 3, 1])
ALLOWED = RNG.random((4, 7)) < 0.6
EVERY = np.ones((4, 7), np.bool_)
DIRECTIONS = ["query_to_document", "document_to_query", "both"]
LOSSES: list[Callable[..., Any]] = [info_nce, triplet_loss, margin_loss]


def softmax_loss(logits: list[float], own: float) -> float:
    return float(np.log(sum(np.exp(logit - own) for logit in logits)))


def looped_info_nce(allowed: NDArray[np.bool_], temperature: float, direction: str) -> float:
    scores, pairs = SCORES / temperature, list(enumerate(POSITIVES))
    if direction == "both":
        sides = [looped_info_nce(allowed, temperature, side) for side in DIRECTIONS[:2]]
        return sum(sides) / 2
    losses = []
    for i, own in pairs:
        if direction == "query_to_document":
            logits = [scores[i, d] for d in range(7) if d == own or allowed[i, d]]
        else:
            logits = [scores[j, own] for j in range(4) if j == i or allowed[j, own]]
        losses.append(softmax_loss(logits, scores[i, own]))
    return float(np.mean(losses))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("allowed", [ALLOWED, EVERY, ~EVERY])
def test_info_nce_agrees_with_a_loop(
    direction: Any, allowed: NDArray[np.bool_], array: Callable[[Any], Any]
) -> None:
    loss = info_nce(array(SCORES), array(POSITIVES), array(allowed), 0.1, direction)
    np.testing.assert_allclose(float(loss), looped_info_nce(allowed, 0.1, direction), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("direction", "theirs"),
    [("query_to_document", ("query_to_doc",)), ("both", ("query_to_doc", "doc_to_query"))],
)
def test_info_nce_agrees_with_sentence_transformers(direction: Any, theirs: Any) -> None:
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    no_model: Any = None  # the loss of embeddings asks none
    oracle = MultipleNegativesRankingLoss(
        no_model,
        scale=20.0,
        directions=theirs,
        partition_mode="per_direction",
    )
    queries, positives, hard = (torch.from_numpy(RNG.normal(size=(5, 8))) for _ in range(3))
    documents = torch.cat([positives, hard])
    loss = info_nce(
        similarities(queries, documents),
        torch.arange(5),
        torch.ones(5, 10, dtype=torch.bool),
        1 / 20,
        direction,
    )
    expected = oracle.compute_loss_from_embeddings([queries, positives, hard], torch.arange(5))
    torch.testing.assert_close(loss, expected)


@given(st.integers(0, 1000), st.floats(-5, 5), st.sampled_from(DIRECTIONS))
def test_a_shift_of_all_similarities_leaves_info_nce_as_it_is(seed: int, shift: float, way: Any) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 7))
    np.testing.assert_allclose(
        info_nce(scores + shift, POSITIVES, ALLOWED, 0.5, way),
        info_nce(scores, POSITIVES, ALLOWED, 0.5, way),
        rtol=1e-9,
        atol=1e-12,
    )


@given(st.permutations(range(4)), st.permutations(range(7)), st.sampled_from(range(3)))
def test_the_order_of_queries_and_documents_changes_no_loss(
    rows: list[int], columns: list[int], which: int
) -> None:
    moved = np.array([columns.index(own) for own in POSITIVES[rows]])
    grid = np.ix_(rows, columns)
    np.testing.assert_allclose(
        LOSSES[which](SCORES[grid], moved, ALLOWED[grid], 0.3),
        LOSSES[which](SCORES, POSITIVES, ALLOWED, 0.3),
        rtol=1e-12,
    )


@given(st.integers(1, 40))
def test_equal_similarities_cost_the_logarithm_of_the_pool(pool: int) -> None:
    loss = info_nce(np.zeros((pool, pool)), np.arange(pool), np.ones((pool, pool), np.bool_))
    np.testing.assert_allclose(float(loss), np.log(pool), atol=1e-12)


@given(st.sampled_from(range(3)), st.floats(-0.9, 0.9))
def test_a_cell_that_is_not_allowed_has_no_say(which: int, score: float) -> None:
    allowed = EVERY.copy()
    allowed[0, 5] = False
    changed = SCORES.copy()
    changed[0, 5] = score
    loss = LOSSES[which]
    assert loss(changed, POSITIVES, allowed, 0.3) == loss(SCORES, POSITIVES, allowed, 0.3)


def test_hard_negatives_count_from_queries_to_documents_alone() -> None:
    """Columns 4 to 6 are nobody's documents."""
    without = SCORES[:, :4], POSITIVES, EVERY[:, :4]
    there, back = (
        info_nce(SCORES, POSITIVES, EVERY, 0.1, way) - info_nce(*without, 0.1, way)
        for way in ("query_to_document", "document_to_query")
    )
    assert there > 0
    assert back == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_pool_without_negatives_has_no_gradient_from_them(loss: Callable[..., Any]) -> None:
    scores = torch.from_numpy(SCORES).requires_grad_()
    loss(scores, torch.from_numpy(POSITIVES), torch.from_numpy(~EVERY), 0.3).backward()
    assert scores.grad is not None
    others = torch.ones(4, 7, dtype=torch.bool)
    others[torch.arange(4), torch.from_numpy(POSITIVES)] = False
    assert torch.all(scores.grad[others] == 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("allowed", [ALLOWED, EVERY])
def test_gradients_agree_with_finite_differences(
    loss: Callable[..., Any], allowed: NDArray[np.bool_]
) -> None:
    queries, documents = (torch.from_numpy(x).requires_grad_() for x in (QUERIES, DOCUMENTS))
    arguments = torch.from_numpy(POSITIVES), torch.from_numpy(allowed), 0.37
    assert torch.autograd.gradcheck(lambda q, d: loss(similarities(q, d), *arguments), (queries, documents))


def test_a_trained_temperature_gets_the_gradient_of_finite_differences() -> None:
    temperature = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    fixed = (torch.from_numpy(x) for x in (SCORES, POSITIVES, ALLOWED))
    scores, positives, allowed = fixed
    assert torch.autograd.gradcheck(lambda t: info_nce(scores, positives, allowed, t), temperature)


def test_bfloat16_scores_are_summed_in_float32() -> None:
    scores = torch.from_numpy(SCORES).bfloat16()
    arguments = torch.from_numpy(POSITIVES), torch.from_numpy(ALLOWED), 0.05
    loss = info_nce(scores, *arguments)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, info_nce(scores.float(), *arguments))


def test_the_triplet_loss_agrees_with_a_loop(array: Callable[[Any], Any]) -> None:
    hinges = [
        max(0.0, 0.4 - SCORES[i, own] + SCORES[i, d])
        for i, own in enumerate(POSITIVES)
        for d in range(7)
        if ALLOWED[i, d] and d != own
    ]
    loss = triplet_loss(array(SCORES), array(POSITIVES), array(ALLOWED), 0.4)
    np.testing.assert_allclose(float(loss), np.mean(hinges), rtol=1e-12)


def test_the_triplet_loss_agrees_with_torch() -> None:
    cells = [(i, own, d) for i, own in enumerate(POSITIVES) for d in range(7) if ALLOWED[i, d] and d != own]
    i, own, other = (list(column) for column in zip(*cells, strict=True))
    queries, documents = torch.from_numpy(QUERIES), torch.from_numpy(DOCUMENTS)
    oracle = torch.nn.functional.triplet_margin_with_distance_loss(
        queries[i],
        documents[own],
        documents[other],
        distance_function=lambda x, y: 1 - torch.nn.functional.cosine_similarity(x, y),
        margin=0.4,
    )
    loss = triplet_loss(
        similarities(queries, documents), torch.from_numpy(POSITIVES), torch.from_numpy(ALLOWED), 0.4
    )
    torch.testing.assert_close(loss, oracle)


@given(st.integers(0, 1000))
def test_pairs_beyond_the_margin_lose_nothing(seed: int) -> None:
    scores = np.random.default_rng(seed).uniform(-1, 0.2, size=(4, 7))
    scores[np.arange(4), POSITIVES] = 1.0
    assert triplet_loss(scores, POSITIVES, ALLOWED, 0.8) == 0
    assert margin_loss(scores, POSITIVES, ALLOWED, 0.8) == 0


def test_the_margin_loss_agrees_with_a_loop(array: Callable[[Any], Any]) -> None:
    pull = [(1 - SCORES[i, own]) ** 2 / 2 for i, own in enumerate(POSITIVES)]
    push = [
        max(0.0, 0.9 - (1 - SCORES[i, d])) ** 2 / 2
        for i, own in enumerate(POSITIVES)
        for d in range(7)
        if ALLOWED[i, d] and d != own
    ]
    loss = margin_loss(array(SCORES), array(POSITIVES), array(ALLOWED), 0.9)
    np.testing.assert_allclose(float(loss), np.mean(pull) + np.mean(push), rtol=1e-12)


def test_the_margin_loss_agrees_with_sentence_transformers() -> None:
    from sentence_transformers.sentence_transformer.losses import ContrastiveLoss

    no_model: Any = None  # the loss of embeddings asks none
    oracle = ContrastiveLoss(no_model, margin=0.9)
    queries, documents = torch.from_numpy(QUERIES), torch.from_numpy(DOCUMENTS)
    own = torch.zeros(4, 7, dtype=torch.bool)
    own[torch.arange(4), torch.from_numpy(POSITIVES)] = True
    parts = []
    for cells, label in [(own, 1), (torch.from_numpy(ALLOWED) & ~own, 0)]:
        i, d = cells.nonzero(as_tuple=True)
        labels = torch.full((len(i),), label)
        parts.append(oracle.compute_loss_from_embeddings([queries[i], documents[d]], labels))
    loss = margin_loss(
        similarities(queries, documents), torch.from_numpy(POSITIVES), torch.from_numpy(ALLOWED), 0.9
    )
    torch.testing.assert_close(loss, parts[0] + parts[1], check_dtype=False, rtol=1e-6, atol=1e-8)


def test_cosines_agree_with_a_loop(array: Callable[[Any], Any]) -> None:
    expected = [[q @ d / (q @ q) ** 0.5 / (d @ d) ** 0.5 for d in DOCUMENTS] for q in QUERIES]
    np.testing.assert_allclose(similarities(array(QUERIES), array(DOCUMENTS)), expected, rtol=1e-12)
    np.testing.assert_allclose(similarities(array(QUERIES), array(DOCUMENTS), "dot"), QUERIES @ DOCUMENTS.T)


def test_cosines_agree_with_torch() -> None:
    queries, documents = torch.from_numpy(QUERIES), torch.from_numpy(DOCUMENTS)
    oracle = torch.nn.functional.cosine_similarity(queries[:, None], documents[None], dim=-1)
    torch.testing.assert_close(similarities(queries, documents), oracle)


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_cosines_know_no_length(first: float, second: float) -> None:
    np.testing.assert_allclose(similarities(QUERIES * first, DOCUMENTS * second), SCORES, rtol=1e-9)


def test_a_zero_vector_has_cosine_0_and_no_gradient() -> None:
    queries = torch.zeros(2, 3, requires_grad=True)
    scores = similarities(queries, torch.ones(4, 3))
    (gradient,) = torch.autograd.grad(scores.sum(), queries)
    assert torch.all(scores == 0)
    assert torch.all(gradient == 0)


@pytest.mark.parametrize("dim", [1, 3, 8])
def test_cut_vectors_agree_with_torch_and_a_loop(dim: int) -> None:
    oracle = torch.nn.functional.normalize(torch.from_numpy(QUERIES)[:, :dim], dim=-1)
    torch.testing.assert_close(truncated(torch.from_numpy(QUERIES), dim), oracle)
    looped = [[x / sum(y * y for y in row[:dim]) ** 0.5 for x in row[:dim]] for row in QUERIES]
    np.testing.assert_allclose(truncated(QUERIES, dim), looped)


@given(st.integers(1, 8), st.integers(1, 8))
def test_cutting_twice_is_cutting_once(long: int, short: int) -> None:
    long, short = max(long, short), min(long, short)
    np.testing.assert_allclose(truncated(truncated(QUERIES, long), short), truncated(QUERIES, short))


@pytest.mark.parametrize("dim", [0, 9])
def test_a_cut_beyond_the_vector_is_refused(dim: int) -> None:
    with pytest.raises(UsageError, match=f"8 numbers cannot be cut to {dim}"):
        truncated(QUERIES, dim)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(UsageError, match="similarity 'euclid' is unknown"):
        similarities(QUERIES, DOCUMENTS, "euclid")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="direction 'back' is unknown"):
        info_nce(SCORES, POSITIVES, ALLOWED, 1.0, "back")  # type: ignore[arg-type]


def test_shapes_that_do_not_match_are_refused() -> None:
    with pytest.raises(UsageError, match=r"scores \(4, 7\), positives \(3,\)"):
        info_nce(SCORES, POSITIVES[:3], ALLOWED)


@pytest.mark.filterwarnings("ignore:Dynamo:UserWarning")
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_compile_into_one_graph(loss: Callable[..., Any]) -> None:
    arguments = torch.from_numpy(SCORES), torch.from_numpy(POSITIVES), torch.from_numpy(ALLOWED), 0.3
    compiled = torch.compile(loss, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(*arguments), loss(*arguments))
