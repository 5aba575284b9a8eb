"""The settings of head training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, min_len, optional

from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.settings import setting

AUTO_EPOCHS, MOST_AUTO_EPOCHS, AUTO_STEPS = 6, 100, 300


def _whole_or_auto(_: object, field: attrs.Attribute[int | str], value: int | str) -> None:
    if value != "auto" and (not isinstance(value, int) or value < 1):
        raise ValueError(f"'{field.name}' must be >= 1 or 'auto': {value}")


@attrs.frozen
class SourceRecipe:
    """How one source enters a head.

    Attributes are the keys of an experiment's ``[train.sources.NAME]`` table. What says how a source is read
    (`normalize`; of a sparse one, columns, TF and IDF) also holds for the linear models over it.
    """

    normalize: Literal["l2", "standard", "none"] = setting(
        "dense: l2 scales each layer's vector to length sqrt(dim), standard each dimension to mean 0 and "
        "variance 1 over train, none leaves vectors as they are",
        "l2",
    )
    dropout: float = setting("dropout on this source before it is fused", 0.0, and_(ge(0.0), lt(1.0)))
    learning_rate: float | None = setting(
        "step size of the weights through which this source alone enters; default: train.learning_rate",
        None,
        optional(gt(0.0)),
    )
    bag_width: int | None = setting(
        "sparse: width of its embedding bag; default: fusion.bag_width", None, optional(ge(1))
    )
    min_document_frequency: int = setting("sparse: columns in fewer train rows are dropped", 2, ge(1))
    max_columns: int | None = setting(
        "sparse: keep only the columns that stand in the most train rows", None, optional(ge(1))
    )
    sublinear_tf: bool = setting("sparse: a cell is 1 + ln(count) rather than the count", True)
    idf: bool = setting("sparse: weigh a column by its inverse document frequency in train", True)
    information: bool = setting(
        "sparse: the linear path shrinks a column the less, the more its presence says of the class", True
    )


@attrs.frozen
class EncoderTuning:
    """How encoders are tuned together with the heads.

    Attributes are the keys of the experiment's ``[train.tuning]`` table.
    """

    epochs: int = setting("passes over train", 3, ge(1))
    learning_rate: float | None = setting(
        "step size of the encoders; default: by finetuning.method", None, optional(gt(0.0))
    )
    head_rate: float = setting(
        "step size of the heads, which are trained already, as a share of train.learning_rate", 0.3, gt(0.0)
    )
    batch_size: int = setting("rows in a step; all seeds see the same ones", 32, ge(1))
    batch_tokens: int = setting(
        "most tokens, padding included, whose activations are held at once; it changes no gradient",
        8192,
        ge(1),
    )
    optimizer: Literal["adamw", "adam", "muon", "adamw8bit"] = setting(
        "of the encoders; muon steps matrices by orthogonalised momentum and leaves the rest to AdamW",
        "adamw",
    )
    weight_decay: float = setting("of the encoders: decoupled for adamw and muon, L2 for adam", 0.01, ge(0.0))
    schedule: Literal["constant", "cosine", "linear"] = setting(
        "learning-rate schedule of encoders and heads", "cosine"
    )
    warmup: float = setting(
        "share of all steps in which the learning rate rises", 0.1, and_(ge(0.0), lt(1.0))
    )
    clip: float | None = setting("longest gradient of an encoder's step", 1.0, optional(gt(0.0)))
    dropout: float = setting(
        "dropout inside the encoders, in place of their own; on a CPU it makes a step up to 3 times slower",
        0.0,
        and_(ge(0.0), lt(1.0)),
    )
    activation_checkpointing: bool = setting("recompute activations rather than keep them", False)
    evaluations: int = setting("how often an epoch is scored on validation", 2, ge(1))
    patience: int = setting("scorings without a better one before tuning stops", 4, ge(1))


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
    warmup: float = setting(
        "share of all steps in which the learning rate rises to its full size", 0.0, and_(ge(0.0), lt(1.0))
    )
    batch_size: int = setting("rows in a batch, for each seed", 256, ge(1))
    epochs: int | Literal["auto"] = setting(
        "most epochs to run; auto: 6, or up to 100 where train is so small that 6 make fewer than 300 steps",
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
    source_dropout: float = setting(
        "chance that a row's source is left out in training; one source always stays",
        0.0,
        and_(ge(0.0), lt(1.0)),
    )
    sources: Mapping[str, SourceRecipe] = setting("how single sources enter, by encoder name", dict)
    linear_path: Literal["none", "linear_svm", "logistic_regression"] = setting(
        "a linear model over the same sources whose scores every seed's head adds to: fitted once, on train, "
        "whose rows it scores out of fold",
        "linear_svm",
    )
    linear_folds: int = setting("folds by which the linear path scores train", 3, ge(2))
    linear_costs: tuple[float, ...] = setting(
        "C values of the linear path, chosen on validation",
        (0.1, 0.3, 1.0, 3.0, 10.0),
        and_(min_len(1), deep_iterable(gt(0.0))),
    )
    calibrate: bool = setting(
        "on validation, weigh the linear path anew beside each head (its learned scale times 1, 2, ... or 32) "
        "and fit the temperature that logits are divided by",
        True,
    )
    validation_fraction: float = setting(
        "part of train taken for validation, stratified, where the dataset names none",
        0.1,
        and_(gt(0.0), le(0.5)),
    )
    tune_encoders: bool | tuple[str, ...] = setting(
        "fine-tune encoders together with the heads, from frozen ones on: true for every transformer, or names",
        False,
    )
    finetuning: FineTuning = setting("tune_encoders: which weights are trained", FineTuning)
    tuning: EncoderTuning = setting("tune_encoders: how they are trained", EncoderTuning)
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")

    def limits(self, rows: int) -> tuple[int, int]:
        """The most epochs to run and the patience, both in epochs, for that many training rows.

        Six passes over twenty thousand rows are some 500 steps of 256; over two thousand they are 50, too few
        to learn from, so small data is passed over more often.
        """
        batches = -(-rows // self.batch_size)
        wanted = max(AUTO_EPOCHS, min(MOST_AUTO_EPOCHS, -(-AUTO_STEPS // batches)))
        epochs = wanted if isinstance(self.epochs, str) else self.epochs
        patience = -(-epochs // 2) if isinstance(self.patience, str) else self.patience
        return epochs, patience
