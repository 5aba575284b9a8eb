"""The settings of a router."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, lt, optional

from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.recipe import EncoderTuning
from fusionapp.domain.settings import setting


@attrs.frozen
class RouterRecipe:
    """How a router is trained: the ``[train]`` table of a routing experiment."""

    seeds: int = setting("how many seeds: seed ... seed + n - 1", 5, ge(1))
    score: Literal["mlp", "two_towers"] = setting(
        "mlp: a network over [prompt; features; model]; two_towers: the inner product of a prompt's and a model's "
        "vector",
        "mlp",
    )
    loss: Literal["regression", "margin", "bradley_terry", "rao_kupper"] = setting(
        "regression: on scores; margin: ranking of pairs by a margin; bradley_terry: log-likelihood of who won; "
        "rao_kupper: the same with ties",
        "regression",
    )
    both_bad: Literal["tie", "penalize", "ignore"] = setting(
        "what a battle that both lost is: a tie, one in which both are pushed below the mean, or nothing",
        "penalize",
    )
    margin: float = setting("margin: of the ranking", 0.1, gt(0.0))
    base: Literal["stack", "none"] = setting(
        "what the network adds to: stack, a mixture of ridge, kernel ridge and what clusters of similar prompts "
        "came to, weighed by rows left out of train; or nothing",
        "stack",
    )
    features: bool = setting(
        "features of the prompt's text (length, code, maths, ...) beside its embedding", True
    )
    hidden_dims: tuple[int, ...] = setting(
        "widths of the network's hidden layers", (64, 32), deep_iterable(ge(1))
    )
    dropout: float = setting("dropout between them", 0.5, and_(ge(0.0), lt(1.0)))
    model_embeddings: Literal["triplet", "attention", "learned"] = setting(
        "triplet: pulled towards embeddings of prompts that the model won and away from those that it lost; "
        "attention: over the prompts that it answered; learned: with the network",
        "triplet",
    )
    finetune_model_embeddings: bool = setting("train model embeddings on with the network", False)
    embedding_dims: tuple[int, ...] = setting(
        "triplet, attention: widths of the layers from a prompt's embedding to a model's",
        (128, 64),
        deep_iterable(ge(1)),
    )
    embedding_model_epochs: int = setting(
        "passes of the first phase, which trains model embeddings", 10, ge(1)
    )
    embedding_learning_rate: float = setting("step size of the first phase", 1e-3, gt(0.0))
    load_embedding_model_from: str | None = setting(
        "take model embeddings that a run saved, and leave the first phase out", None
    )
    min_model_comparisons: int = setting("models with fewer comparisons in train are left out", 1, ge(1))
    balance_model_samples: bool = setting(
        "draw a pair the oftener, the rarer its rarer model is; validation is never weighed", True
    )
    optimizer: Literal["adamw", "adam", "muon"] = setting(
        "muon steps matrices by orthogonalised momentum and leaves the rest to AdamW", "adamw"
    )
    learning_rate: float = setting("step size of the network", 2e-4, gt(0.0))
    weight_decay: float = setting("decoupled for adamw and muon, L2 for adam", 0.01, ge(0.0))
    batch_size: int = setting(
        "prompts in a batch, with all of their models; pairs for pairwise losses", 64, ge(1)
    )
    epochs: int = setting("most passes over train", 20, ge(1))
    patience: int = setting("epochs without a better validation score before a seed stops", 5, ge(1))
    calibration: Literal["temperature", "isotonic"] = setting(
        "how scores become probabilities of success, fitted on validation", "isotonic"
    )
    tune_encoder: bool = setting(
        "tune the first transformer end to end under a network like the routers', and train those over it where "
        "that is better on validation",
        False,
    )
    finetuning: FineTuning = setting("tune_encoder: which of its weights are trained", FineTuning)
    tuning: EncoderTuning = setting("tune_encoder: how they are trained", EncoderTuning)
    tuning_learning_rate: float | None = setting(
        "tune_encoder: another name of tuning.learning_rate", None, optional(gt(0.0))
    )
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")

    def encoder_tuning(self) -> EncoderTuning:
        """How the encoder is tuned, its step size settled."""
        asked = self.tuning_learning_rate or self.tuning.learning_rate
        return attrs.evolve(self.tuning, learning_rate=self.finetuning.step_size(asked))
