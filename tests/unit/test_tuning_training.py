"""What each setting of training does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from tiny_models import tiny_model
from tuning_pairs import recipe, toy_pairs

from fusionapp.adapters.huggingface.tuning.distributed import Crew
from fusionapp.adapters.huggingface.tuning.objective import Objective, false_negatives
from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.optimizers import EncoderOptimizer, group_weights
from fusionapp.adapters.huggingface.tuning.plan import plan_steps
from fusionapp.adapters.huggingface.tuning.pool_embeddings import PoolEmbeddings, tokenize_pairs
from fusionapp.adapters.huggingface.tuning.pools import make_pool
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.standing import Standing
from fusionapp.adapters.huggingface.tuning.steps import Stepper
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.huggingface.tuning.tuner import CHECKPOINTS, HuggingFaceTuner
from fusionapp.adapters.huggingface.tuning.validation import mean_reciprocal_rank
from fusionapp.application.ports.encoder_tuner import PairSet, TunedEncoder
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.retrieval.composition import Composition, Stage

CPU = torch.device("cpu")


def tune(
    folder: Path,
    kind: str = "bert",
    train: PairSet | None = None,
    encoder: dict[str, Any] | None = None,
    **changes: Any,
) -> tuple[TunedEncoder, list[dict[str, float]]]:
    tracker = RecordingTracker()
    tuned = HuggingFaceTuner(EncoderSettings(str(tiny_model(kind)), **(encoder or {}))).tune(
        recipe(**{"epochs": 1, **changes}),
        0,
        train or toy_pairs(),
        toy_pairs(24, 1),
        str(folder),
        tracker,
        CountingProgress(),
    )
    return tuned, [metrics for _, _, metrics in tracker.logged if "train_loss" in metrics]


@pytest.mark.parametrize(
    ("encoder", "told"), [({"max_length": 4}, True), ({}, False), ({"max_document_length": 4}, False)]
)
def test_training_says_where_many_documents_are_cut_that_the_encoder_could_read_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, encoder: dict[str, Any], told: bool
) -> None:
    tune(tmp_path, encoder=encoder)
    assert ("of the documents are cut at 4 tokens" in caplog.text) == told


def gradients(
    budget: int, encoder: TrainableEncoder, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    data = tokenize_pairs(encoder, toy_pairs(hard=2), "train")
    settings = recipe(hard_negatives=1)
    objective = Objective(settings, encoder.dim, CPU)
    trained = encoder.trained()
    optimizer = EncoderOptimizer("adamw", group_weights(trained), 0.0)
    stepper = Stepper(
        encoder, PoolEmbeddings(encoder, dtype, budget), objective, optimizer, Crew(0, 1, CPU), None
    )
    pool = make_pool(data.pairs, np.arange(16), 1, np.random.default_rng(0))
    torch.manual_seed(0)
    stepper._backward(data, false_negatives(settings, data.pairs), pool, 1)
    found = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}
    encoder.zero_grad(set_to_none=True)
    return found


def test_a_pool_in_many_chunks_has_the_gradient_of_one_in_double_precision() -> None:
    encoder = open_trainable(EncoderSettings(str(tiny_model("bert"))), FineTuning(), device="cpu").double()
    one, many = gradients(100_000, encoder), gradients(48, encoder)
    assert one.keys() == many.keys()
    for name, right in one.items():
        if "key.bias" in name:  # zero by nature
            continue
        # Pooled states are float32 whatever the weights are.
        torch.testing.assert_close(many[name], right, rtol=1e-5, atol=1e-5 * float(right.abs().max()))


def test_several_pools_are_a_step_of_their_mean(tmp_path: Path) -> None:
    tuned, steps = tune(tmp_path, optimizer_batch=24)
    assert tuned.steps == len(steps) == 2


@pytest.mark.parametrize("loss", ["infonce", "triplet", "margin"])
def test_every_loss_falls(loss: str, tmp_path: Path) -> None:
    _, steps = tune(tmp_path, loss=loss, epochs=6)
    losses = [step["train_loss"] for step in steps]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


@pytest.mark.parametrize("kind", ["qwen2", "roberta"])
def test_other_families_learn(kind: str, tmp_path: Path) -> None:
    _, steps = tune(tmp_path, kind, epochs=4, learning_rate=3e-3)
    losses = [step["train_loss"] for step in steps]
    assert np.mean(losses[-6:]) < np.mean(losses[:6])


def test_a_learned_temperature_moves_and_a_fixed_one_stays(tmp_path: Path) -> None:
    _, learned = tune(tmp_path / "learned", learn_temperature=True)
    _, fixed = tune(tmp_path / "fixed")
    assert {step["temperature"] for step in fixed} == {0.05}
    assert len({step["temperature"] for step in learned}) == len(learned)
    assert all(0.0049 < step["temperature"] <= 1.0 for step in learned)


def test_a_loss_that_is_no_number_stops_and_keeps_the_best_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lower learning_rate"):
        tune(tmp_path, learning_rate=1e30, clip=None, epochs=4)
    assert list((tmp_path / CHECKPOINTS).glob("best-0*.safetensors"))


def test_patience_ends_training(tmp_path: Path) -> None:
    tuned, _ = tune(tmp_path, learning_rate=1e-9, epochs=9, evaluations=1, patience=2)
    assert (tuned.steps, tuned.best_step) == (12, 0)


def test_what_is_kept_is_the_best_weights_and_not_the_last(tmp_path: Path) -> None:
    standing = Standing()
    assert standing.score({"mrr@10": 0.2}, 3)
    standing.step = 5
    assert standing.score({"mrr@10": 0.4}, 3)
    standing.step = 9
    assert not standing.score({"mrr@10": 0.4}, 3)
    assert (standing.best_step, standing.stale, standing.stopped) == (5, 1, False)


def test_hard_negatives_enter_a_pool_as_columns_of_their_own() -> None:
    data = toy_pairs(hard=3)
    pool = make_pool(data, np.array([0, 9]), 2, np.random.default_rng(0))
    assert len(pool.documents) == 2 + 4
    assert set(pool.documents[pool.hard[0]]) <= set(data.negatives[0])
    assert list(pool.documents[pool.document]) == [0, 9]


def test_more_hard_negatives_make_a_harder_loss(tmp_path: Path) -> None:
    data = toy_pairs(hard=3)
    _, without = tune(tmp_path / "without", train=data, hard_negatives=0)
    _, with_them = tune(tmp_path / "with", train=data, hard_negatives=3)
    assert with_them[0]["train_loss"] > without[0]["train_loss"]


def test_a_repeated_text_is_embedded_once() -> None:
    data = toy_pairs(12)
    twice = attrs.evolve(data, pairs=np.array([[0, 0], [0, 1], [2, 1]]))
    pool = make_pool(twice, np.arange(3), 0, np.random.default_rng(0))
    assert (list(pool.queries), list(pool.documents)) == ([0, 2], [0, 1])
    assert list(pool.query) == [0, 0, 1]


def test_matryoshka_dims_count_with_the_whole_width(tmp_path: Path) -> None:
    _, plain = tune(tmp_path / "plain")
    _, nested = tune(tmp_path / "nested", matryoshka_dims=(8, 16))
    assert plain[0]["train_loss"] != nested[0]["train_loss"]


def test_a_matryoshka_dim_beyond_the_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="matryoshka_dims: 64"):
        tune(tmp_path, matryoshka_dims=(64,))


def test_a_step_of_no_whole_pools_is_refused() -> None:
    with pytest.raises(UsageError, match="optimizer_batch: 12"):
        plan_steps(recipe(optimizer_batch=12), 100)


@pytest.mark.parametrize(
    ("evaluations", "scored"), [(1, {12}), (2, {6, 12}), (5, {3, 5, 8, 10, 12}), (99, set(range(1, 13)))]
)
def test_an_epoch_is_scored_so_often_and_at_its_end(evaluations: int, scored: set[int]) -> None:
    plan = plan_steps(recipe(evaluations=evaluations), 100)
    assert {step for step in range(1, 13) if plan.scores_after(step)} == scored
    assert plan.scores_after(24)


def slow_mrr(queries: torch.Tensor, documents: torch.Tensor, pairs: list[tuple[int, int]]) -> float:
    total, asked = 0.0, sorted({query for query, _ in pairs})
    for query in asked:
        own = [document for other, document in pairs if other == query]
        scores = [float(queries[query] @ document) for document in documents]
        best = max(scores[document] for document in own)
        rank = 1 + sum(scores[row] >= best for row in range(len(scores)) if row not in own)
        total += 1 / rank if rank <= 10 else 0.0
    return total / len(asked)


def test_the_reciprocal_rank_is_that_of_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, documents = (torch.randint(-2, 3, (size, 3), generator=generator).float() for size in (20, 60))
    pairs = [(query, (query * 7 + shift) % 60) for query in range(15) for shift in range(query % 3 + 1)]
    found = mean_reciprocal_rank(queries, documents, np.array(pairs))
    assert found == pytest.approx(slow_mrr(queries, documents, pairs), abs=1e-12)


def test_an_encoder_to_which_all_texts_are_alike_finds_nothing() -> None:
    same = torch.ones(30, 4)
    assert mean_reciprocal_rank(same, same, np.stack([np.arange(30)] * 2, 1)) == 0.0
    assert mean_reciprocal_rank(same * torch.nan, same, np.stack([np.arange(30)] * 2, 1)) == 0.0


def test_norms_and_biases_do_not_decay() -> None:
    encoder = open_trainable(EncoderSettings(str(tiny_model("bert"))), FineTuning(), device="cpu")
    before = {name: weight.detach().clone() for name, weight in encoder.named_parameters()}
    optimizer = EncoderOptimizer("adamw", group_weights(encoder.trained()), 0.5)
    for weight in encoder.trained():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(0.1)
    for name, weight in encoder.named_parameters():
        if weight.requires_grad:
            factor = 0.95 if weight.ndim > 1 else 1.0
            torch.testing.assert_close(weight.detach(), before[name] * factor)


def test_muon_leaves_embeddings_to_adamw() -> None:
    encoder = open_trainable(EncoderSettings(str(tiny_model("bert"))), FineTuning(), device="cpu")
    optimizer = EncoderOptimizer("muon", group_weights(encoder.trained()), 0.0)
    muon, adam = optimizer._optimizers
    assert isinstance(muon, torch.optim.Muon)
    tables = {weight.shape[0] for group in adam.param_groups for weight in group["params"] if weight.ndim > 1}
    assert tables == {
        weight.shape[0]
        for name, weight in encoder.named_parameters()
        if "embeddings" in name and weight.ndim > 1
    }


def test_a_composition_is_drawn_logged_and_counted(tmp_path: Path) -> None:
    topics = toy_pairs().topics
    main = topics[0]
    assert main is not None
    shares = Stage(main=0.25, soft=0, hard=0, cross_domain=0, other=0.75)
    tuned, steps = tune(tmp_path, composition=Composition(main=(main,), schedule=(shares,)))
    assert tuned.drawn == {"main": 12, "other": 36}
    assert {(step["drawn_main"], step["drawn_other"]) for step in steps} == {(2.0, 6.0)}


def test_sides_that_are_pooled_differently_keep_their_places() -> None:
    encoder = open_trainable(
        EncoderSettings(str(tiny_model("bert")), query_prefix="the day ", document_prefix=""),
        FineTuning(),
        device="cpu",
    ).eval()
    encoder.decisions = attrs.evolve(encoder.decisions, pool_prefix=False)
    data = tokenize_pairs(encoder, toy_pairs(8), "train")
    embeddings = PoolEmbeddings(encoder, torch.float32, 10_000)
    rows = np.arange(4)
    lengths = np.concatenate([data.queries.lengths[rows], data.documents.lengths[rows]])
    chunks = embeddings.cut(lengths)
    (part,) = embeddings.parts(data, rows, rows, chunks)
    found = torch.empty(8, encoder.dim)
    found[np.concatenate(chunks[0])] = part().detach()
    for row in rows.tolist():
        for place, table, side in ((row, data.queries, "query"), (4 + row, data.documents, "document")):
            alone = encoder.embed([table[row]], side).detach()[0]  # type: ignore[arg-type]  # one of its words
            torch.testing.assert_close(found[place], alone, rtol=1e-4, atol=1e-5)
