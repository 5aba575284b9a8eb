"""Tuning encoders and heads together, in torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Literal

import attrs
import torch

from fusionapp.adapters.torch_heads.artefact import SavedHead, load_head
from fusionapp.adapters.torch_heads.calibrate import calibrate
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.joint import JointTraining
from fusionapp.adapters.torch_heads.trainer import prepare_split, save_run, train_dtype
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.adapters.torch_shared.failures import memory_guard
from fusionapp.adapters.torch_shared.tunable import OpenTunable, TunableEncoder
from fusionapp.application.ports.classifier_tuner import ClassifierTuner, JointlyTuned, TuningRows
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.calibration import fit_scale
from fusionapp.domain.errors import UsageError
from fusionapp.domain.losses import balanced_class_weights
from fusionapp.domain.recipe import TrainingRecipe

_WAY_OUT = (
    "lower train.tuning.batch_tokens, which changes no gradient, or train.tuning.batch_size, or set "
    'train.tuning.activation_checkpointing = true or train.finetuning.method = "lora"'
)


@attrs.frozen
class TorchClassifierTuner(ClassifierTuner):
    """Tunes encoders that all seeds share, under one stack of their heads.

    Attributes:
        open: opens the encoders.
        dtype: what the heads' matrix products are computed in; see `TorchHeadTrainer`.
    """

    open: OpenTunable
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    def tune(
        self,
        recipe: TrainingRecipe,
        encoders: Sequence[str],
        start: Sequence[str],
        seed: int,
        train: TuningRows,
        validation: TuningRows,
        heads: Sequence[str],
        directories: Mapping[str, str],
        tracker: Tracker,
        progress: Progress,
    ) -> JointlyTuned:
        """See `ClassifierTuner.tune`."""
        begun = perf_counter()
        frozen = [load_head(directory) for directory in start]
        _check(frozen, encoders, train, validation)
        with memory_guard(_WAY_OUT):
            opened = {name: self.open(name, recipe, seed) for name in encoders}
            for encoder in opened.values():
                encoder.read("train", train.texts)
                encoder.read("validation", validation.texts)
            preflights = {name: encoder.preflight for name, encoder in opened.items()}
            joint = self._joint(frozen, recipe, opened, seed, train, validation)
            torch.manual_seed(seed)  # dropout inside encoders
            with progress.task("tune encoders and heads", total=joint.steps, unit="steps") as task:
                runs = joint(tracker, task)
        labels = validation.embeddings.labels
        for run in runs if recipe.calibrate else ():
            calibrate(run, validation.embeddings.linear, labels, recipe.metric)
        first = frozen[0]
        saved = [
            save_run(directory, run, first.card.fusion, recipe, first.sources, first.card.classes)
            for directory, run in zip(heads, runs, strict=True)
        ]
        tables = {name: encoder.save(directories[name]) for name, encoder in opened.items()}
        seconds = perf_counter() - begun
        return JointlyTuned(saved, tables, preflights, joint.step, joint.best_step, seconds)

    def _joint(
        self,
        frozen: Sequence[SavedHead],
        recipe: TrainingRecipe,
        encoders: Mapping[str, TunableEncoder],
        seed: int,
        train: TuningRows,
        validation: TuningRows,
    ) -> JointTraining:
        card, sources = frozen[0].card, frozen[0].sources
        device = resolve_device(recipe.device)
        dtype = train_dtype(self.dtype, device)
        seeds = [head.card.seed for head in frozen]
        beside_path = train.embeddings.linear is not None
        head = FusionHead(len(frozen), card.fusion, recipe, card.sources, card.classes, beside_path)
        head.draw(seeds, device, dtype)
        names = [name for name in head.state_dict() if name != "scale"]
        head.load_state_dict(
            {name: torch.stack([one.state[name] for one in frozen]) for name in names}, strict=False
        )
        _fit_path_scale(head, recipe, card.classes, train)
        fitted, judged = (prepare_split(sources, rows.embeddings, device) for rows in (train, validation))
        return JointTraining(
            head.to(device), recipe, seeds, sources, encoders, fitted, judged, card.classes, seed, dtype
        )


def _fit_path_scale(head: FusionHead, recipe: TrainingRecipe, classes: int, train: TuningRows) -> None:
    """The path beside tuned encoders is another one than the frozen heads had: its scale is fitted anew."""
    rows = train.embeddings
    if head.scale is None or rows.linear is None:
        return
    weighed = recipe.class_weights == "balanced"
    weights = balanced_class_weights(rows.labels, classes) if weighed else None
    torch.nn.init.constant_(head.scale, fit_scale(rows.linear, rows.labels, weights))


def _check(
    frozen: Sequence[SavedHead], encoders: Sequence[str], train: TuningRows, validation: TuningRows
) -> None:
    if not encoders or not frozen:
        raise UsageError(f"tuning: {len(encoders)} encoders and {len(frozen)} heads; need 1 of each")
    cards = {source.name: source for source in frozen[0].card.sources}
    for name in encoders:
        if name not in cards or cards[name].sparse:
            raise UsageError(
                f"tuning: {name!r} is no dense source of the heads; they have {', '.join(cards)}"
            )
    for split, rows in (("train", train), ("validation", validation)):
        if len(rows.texts) != len(rows.embeddings.labels):
            raise UsageError(
                f"tuning: {split} has {len(rows.texts)} texts for {len(rows.embeddings.labels)} labels"
            )
