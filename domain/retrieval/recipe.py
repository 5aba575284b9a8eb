"""The settings of contrastive fine-tuning."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, optional

from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.retrieval.composition import Composition
from fusionapp.domain.settings import setting


@attrs.frozen
class Mining:
    """The ``[train.mining]`` table: hard negatives by the encoder's own rankings, and training on with them."""

    rounds: int = setting("how often to mine with the encoder tuned so far and train on", 0, ge(0))
    negatives: int = setting("hard negatives kept for each query", 3, ge(1))
    skip: int = setting("best-ranked documents that are never taken, as some may be relevant", 0, ge(0))
    depth: int = setting("how far down a query's ranking negatives are looked for", 100, ge(1))
    most_similar: float = setting(
        "a document scores as a negative only below this share of the positive's score (Moreira et al. 2024)",
        0.95,
        and_(gt(0.0), le(1.0)),
    )
    margin: float = setting("a negative's score is below the positive's by at least this", 0.0, ge(0.0))


@attrs.frozen
class TuningRecipe:
    """How an encoder is tuned on pairs: the ``[train]`` table of a retrieval experiment."""

    finetuning: FineTuning = setting("which weights are trained", FineTuning)
    loss: Literal["infonce", "triplet", "margin"] = setting(
        "infonce: softmax over a pool of documents; triplet: hinge on the difference to each negative; margin: "
        "hinge on each pair's own similarity",
        "infonce",
    )
    similarity: Literal["cosine", "dot"] = setting("how a query and a document compare", "cosine")
    directions: Literal["both", "query_to_document", "document_to_query"] = setting(
        "infonce: whom the softmax runs over: the pool's documents, its queries, or each in turn", "both"
    )
    temperature: float = setting("infonce: similarities are divided by it", 0.05, gt(0.0))
    learn_temperature: bool = setting("infonce: train the temperature as well", False)
    margin: float = setting("triplet, margin: of the hinge", 0.2, gt(0.0))
    matryoshka_dims: tuple[int, ...] = setting(
        "also train the first so many numbers of each vector (Kusupati et al. 2022)", (), deep_iterable(ge(1))
    )
    hard_negatives: int = setting(
        "hard negatives of each query that enter a step; 0 leaves them out", 1, ge(0)
    )
    near_duplicate: float | None = setting(
        "texts whose word 3-grams overlap by so much (Jaccard) are no negatives of each other",
        0.8,
        optional(and_(gt(0.0), le(1.0))),
    )
    mask_same_label: bool = setting("pairs of one label are no negatives of each other", False)
    negatives_pool: int = setting(
        "pairs whose documents are each other's negatives; a pool that memory does not hold at once goes through "
        "GradCache (Gao et al. 2021) to the same gradient",
        64,
        ge(2),
    )
    optimizer_batch: int | None = setting(
        "pairs in an optimizer step, a multiple of negatives_pool: several pools add up their gradients, which "
        "enlarges no pool; default: one pool",
        None,
        optional(ge(2)),
    )
    batch_tokens: int = setting("most tokens, padding included, in one forward pass", 8192, ge(1))
    composition: Composition | None = setting(
        "of which topics a pool is made; default: pairs as they come", None
    )
    epochs: int = setting("passes over the training pairs", 3, ge(1))
    learning_rate: float | None = setting("step size; default: by finetuning.method", None, optional(gt(0.0)))
    optimizer: Literal["adamw", "adam", "muon", "adamw8bit"] = setting(
        "muon steps matrices by orthogonalised momentum and leaves the rest to AdamW", "adamw"
    )
    weight_decay: float = setting("decoupled for adamw and muon, L2 for adam", 0.01, ge(0.0))
    schedule: Literal["constant", "cosine", "linear"] = setting("learning-rate schedule", "cosine")
    warmup: float = setting(
        "share of all steps in which the learning rate rises", 0.1, and_(ge(0.0), lt(1.0))
    )
    clip: float | None = setting("longest gradient of a step", 1.0, optional(gt(0.0)))
    dropout: float = setting(
        "dropout inside the encoder, in place of its own; on a CPU it makes a step up to 3 times slower",
        0.0,
        and_(ge(0.0), lt(1.0)),
    )
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "what is multiplied in; weights are kept in float32; auto takes bfloat16 where the hardware multiplies it",
        "auto",
    )
    bidirectional: bool = setting("decoders: let every token see the whole text", False)
    activation_checkpointing: bool = setting("recompute activations rather than keep them", False)
    max_query_length: int | None = setting(
        "tokens kept of a query; default: the encoder's", None, optional(ge(1))
    )
    max_document_length: int | None = setting(
        "tokens kept of a document; default: the encoder's", None, optional(ge(1))
    )
    evaluations: int = setting("how often an epoch is scored on validation", 2, ge(1))
    patience: int = setting("scorings without a better validation MRR before training stops", 4, ge(1))
    checkpoint_steps: int = setting("steps between checkpoints that a killed run goes on from", 100, ge(1))
    mining: Mining = setting("hard negatives from the encoder's own rankings", Mining)
    seeds: int = setting("how many times to tune: seed ... seed + n - 1", 1, ge(1))
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")

    @property
    def step_size(self) -> float:
        """The learning rate asked for, else the fine-tuning method's."""
        return self.finetuning.step_size(self.learning_rate)

    def problems(self) -> list[str]:
        """What does not go together, one line each, starting with the key's path."""
        found = []
        pool, batch = self.negatives_pool, self.optimizer_batch
        if batch is not None and batch % pool:
            found.append(
                f"train.optimizer_batch: {batch} is no multiple of negatives_pool = {pool}; use "
                f"{max(1, round(batch / pool)) * pool}"
            )
        if self.learn_temperature and self.loss != "infonce":
            found.append(f'train.learn_temperature: goes with loss = "infonce", not {self.loss!r}')
        if self.loss == "margin" and self.similarity == "dot":
            found.append('train.similarity: the margin loss needs a distance, 1 - cosine; set it to "cosine"')
        if self.mining.rounds and not self.hard_negatives:
            found.append("train.hard_negatives: 0 leaves out what train.mining finds; set it to 1 or more")
        if self.mining.rounds and self.finetuning.save == "adapter":
            found.append(
                "train.finetuning.save: an adapter of a round after mining is one over the round before, not over "
                'the base model; set it to "merged", or train.mining.rounds to 0'
            )
        return found + (self.composition.problems() if self.composition is not None else [])
