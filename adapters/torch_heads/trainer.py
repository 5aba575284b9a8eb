"""The head trainer in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
import torch

from fusionapp.adapters.torch_heads.artefact import SavedHead, save_head
from fusionapp.adapters.torch_heads.calibrate import calibrate
from fusionapp.adapters.torch_heads.card import HeadCard
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.sources import Source, check_linear
from fusionapp.adapters.torch_heads.training import PreparedSplit, SeedRun, StackTraining
from fusionapp.adapters.torch_shared.device import automatic_dtype, resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.application.ports.heads import HeadTrainer, LabelledEmbeddings, TrainedHead
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.calibration import fit_scale
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.losses import balanced_class_weights
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe

_WAY_OUT = (
    'lower train.batch_size, train.seeds, fusion.bag_width or fusion.expert_dim, or set train.device = "cpu"'
)


@attrs.frozen
class TorchHeadTrainer(HeadTrainer):
    """Trains every seed's head as one stacked computation.

    Attributes:
        dtype: what matrix products are computed in while training. "auto" is bfloat16 where the hardware has
            it (seven times as fast on a CPU with AMX), else float32. Weights, losses, the last layer and
            validation are float32 in any case.
    """

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    def train(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        directories: Sequence[str],
        tracker: Tracker,
        progress: Progress,
    ) -> Sequence[TrainedHead]:
        """See `HeadTrainer.train`.

        Raises:
            UsageError: the fusion cannot be built over these sources, the splits do not fit each other, or the
                loss is not finite.
            ResourceError: memory or disk ran out.
        """
        _check(fusion, seeds, classes, train, validation, directories)
        device = resolve_device(recipe.device)
        with memory_guard(_WAY_OUT):
            sources = tuple(
                Source.fit(name, values, _source_recipe(name, fusion, recipe))
                for name, values in train.sources.items()
            )
            cards = [source.card for source in sources]
            head = FusionHead(len(seeds), fusion, recipe, cards, classes, train.linear is not None)
            dtype = train_dtype(self.dtype, device)
            head.draw(seeds, device, dtype)
            if head.scale is not None and train.linear is not None:
                weighed = recipe.class_weights == "balanced"
                weights = balanced_class_weights(train.labels, classes) if weighed else None
                torch.nn.init.constant_(head.scale, fit_scale(train.linear, train.labels, weights))
            fitted, judged = (prepare_split(sources, split, device) for split in (train, validation))
            training = StackTraining(head.to(device), recipe, seeds, classes, fitted, judged, dtype)
            epochs, _ = recipe.limits(len(train.labels))
            with progress.task("train heads", total=len(seeds) * epochs, unit="epochs") as task:
                runs = training(tracker, task)
        if recipe.calibrate:
            for run in runs:
                calibrate(run, validation.linear, validation.labels, recipe.metric)
        return [
            save_run(directory, run, fusion, recipe, sources, classes)
            for directory, run in zip(directories, runs, strict=True)
        ]


def train_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """What matrix products of training are computed in; see `TorchHeadTrainer`."""
    if wanted == "auto":
        fast = automatic_dtype(device)
        # float16 would want loss scaling: not worth it for a head.
        return fast if fast == torch.bfloat16 else torch.float32
    return torch.bfloat16 if wanted == "bfloat16" else torch.float32


def prepare_split(
    sources: Sequence[Source], split: LabelledEmbeddings, device: torch.device
) -> PreparedSplit:
    """A split on the device, as a head takes it."""
    prepared = [source.prepare(split.sources[source.card.name], device) for source in sources]
    labels = torch.tensor(split.labels, dtype=torch.int64, device=device)
    linear = None
    if split.linear is not None:
        linear = torch.tensor(split.linear, dtype=torch.float32, device=device)
    return PreparedSplit(prepared, labels, linear)


def _source_recipe(name: str, fusion: FusionSpec, recipe: TrainingRecipe) -> SourceRecipe:
    """How a source enters; co-occurrence without `normalize` is LLMEmbed's, which takes views as they come."""
    source = recipe.sources.get(name, SourceRecipe())
    raw = fusion.kind == "cooccurrence" and not fusion.normalize and source.normalize == "l2"
    return attrs.evolve(source, normalize="none") if raw else source


def save_run(
    directory: str,
    run: SeedRun,
    fusion: FusionSpec,
    recipe: TrainingRecipe,
    sources: tuple[Source, ...],
    classes: int,
) -> TrainedHead:
    """Keep a finished seed's head in a directory."""
    parameters = sum(tensor.numel() for tensor in run.state.values())
    card = HeadCard(
        fusion,
        recipe,
        tuple(source.card for source in sources),
        classes,
        run.seed,
        run.best_epoch,
        run.epochs,
        parameters,
        run.validation,
        linear="scale" in run.state,
        temperature=run.temperature,
    )
    save_head(directory, SavedHead(card, sources, run.state))
    return TrainedHead(directory, run.seed, run.best_epoch, run.epochs, parameters, run.validation)


def _check(
    fusion: FusionSpec,
    seeds: Sequence[int],
    classes: int,
    train: LabelledEmbeddings,
    validation: LabelledEmbeddings,
    directories: Sequence[str],
) -> None:
    if found := fusion.problems():
        raise UsageError("\n".join(found))
    if not train.sources:
        raise UsageError("training: no source given; name at least one encoder")
    if not seeds or len(set(seeds)) < len(seeds) or len(seeds) != len(directories):
        raise UsageError(
            f"training: seeds {list(seeds)} for {len(directories)} directories; give each seed its own"
        )
    if list(train.sources) != list(validation.sources):
        raise UsageError(
            f"training: train has sources {list(train.sources)}, validation {list(validation.sources)}"
        )
    if (train.linear is None) != (validation.linear is None):
        raise UsageError("training: train and validation need the linear path's scores both, or neither")
    for split, labelled in (("train", train), ("validation", validation)):
        _check_rows(split, labelled.sources, labelled.labels, classes)
        if labelled.linear is not None:
            check_linear(f"training: {split}", labelled.linear, (len(labelled.labels), classes))


def _check_rows(
    split: str,
    sources: Mapping[str, Embeddings],
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    classes: int,
) -> None:
    if not len(labels):
        raise UsageError(f"training: {split} has no rows; add labelled examples")
    for name, embeddings in sources.items():
        if embeddings.shape[0] != len(labels):
            raise UsageError(
                f"training: {split} has {len(labels)} labels, but source {name!r} {embeddings.shape[0]} rows"
            )
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(
            f"training: {split} labels run from {labels.min()} to {labels.max()}, "
            f"but there are {classes} classes"
        )
