"""The settings of head training."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt

from fusionapp.domain.settings import setting


@attrs.frozen
class TrainingRecipe:
    """How heads are trained over stored embeddings.

    Attributes are the keys of the experiment's ``[train]`` table; each one's meaning is printed by
    ``fusionapp schema``.
    """

    seeds: int = setting("how many seeds are trained, all at once: seed ... seed + n - 1", 5, ge(1))
    hidden_dims: tuple[int, ...] = setting(
        "widths of the head's hidden layers; [1024, 256] is the predecessors' head",
        (512,),
        deep_iterable(ge(1)),
    )
    dropout: float = setting("dropout in the head", 0.4, and_(ge(0.0), lt(1.0)))
    input_dropout: float = setting("dropout on the fused vector", 0.5, and_(ge(0.0), lt(1.0)))
    optimizer: Literal["adamw", "adam", "muon"] = setting(
        "muon steps matrices by orthogonalised momentum and leaves the rest to AdamW", "adamw"
    )
    learning_rate: float = setting("step size", 1e-3, gt(0.0))
    weight_decay: float = setting("decoupled for adamw and muon, L2 for adam", 0.01, ge(0.0))
    schedule: Literal["constant", "cosine", "linear"] = setting(
        "learning-rate schedule over `epochs`", "cosine"
    )
    batch_size: int = setting("rows in a batch, for each seed", 256, ge(1))
    epochs: int = setting("most epochs to run; a few thousand rows want about 30", 10, ge(1))
    patience: int = setting("epochs without a better validation score before a seed stops", 5, ge(1))
    metric: Literal["accuracy", "macro_f1", "weighted_f1", "loss"] = setting(
        "validation metric that stops training and picks the epoch", "accuracy"
    )
    label_smoothing: float = setting(
        "share of each target spread over all classes", 0.1, and_(ge(0.0), lt(1.0))
    )
    class_weights: Literal["none", "balanced"] = setting(
        "balanced weighs a class by rows / (classes x its rows)", "none"
    )
    validation_fraction: float = setting(
        "part of train taken for validation, stratified, where the dataset names none",
        0.1,
        and_(gt(0.0), le(0.5)),
    )
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")
