"""The settings of head training."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt

from fusionapp.domain.settings import setting

AUTO_EPOCHS, MOST_AUTO_EPOCHS, AUTO_STEPS = 10, 100, 300


def _whole_or_auto(_: object, field: attrs.Attribute[int | str], value: int | str) -> None:
    if value != "auto" and (not isinstance(value, int) or value < 1):
        raise ValueError(f"'{field.name}' must be >= 1 or 'auto': {value}")


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
    weight_decay: float = setting("decoupled for adamw, muon and embedding bags, L2 for adam", 0.01, ge(0.0))
    schedule: Literal["constant", "cosine", "linear"] = setting(
        "learning-rate schedule over `epochs`", "cosine"
    )
    batch_size: int = setting("rows in a batch, for each seed", 256, ge(1))
    epochs: int | Literal["auto"] = setting(
        "most epochs to run; auto: 10, or up to 100 where train is so small that 10 make fewer than 300 steps",
        "auto",
        _whole_or_auto,
    )
    patience: int | Literal["auto"] = setting(
        "epochs without a better validation score before a seed stops; auto: half of `epochs`",
        "auto",
        _whole_or_auto,
    )
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

    def limits(self, rows: int) -> tuple[int, int]:
        """The most epochs to run and the patience, both in epochs, for that many training rows.

        Ten passes over twenty thousand rows are some 800 steps of 256; over two thousand they are 80, too few
        to learn from, so small data is passed over more often.
        """
        batches = -(-rows // self.batch_size)
        wanted = max(AUTO_EPOCHS, min(MOST_AUTO_EPOCHS, -(-AUTO_STEPS // batches)))
        epochs = wanted if isinstance(self.epochs, str) else self.epochs
        patience = -(-epochs // 2) if isinstance(self.patience, str) else self.patience
        return epochs, patience
