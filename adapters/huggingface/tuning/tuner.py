"""Contrastive tuning of a transformers encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.application.ports.encoder_tuner import EncoderTuner, PairSet, Preflight, TunedEncoder
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import ResourceError, UsageError
from fusionapp.domain.retrieval.recipe import TuningRecipe

if TYPE_CHECKING:
    from fusionapp.adapters.huggingface.tuning.distributed import Crew
    from fusionapp.adapters.huggingface.tuning.loop import TrainingLoop
    from fusionapp.adapters.huggingface.tuning.standing import Standing
    from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder

CHECKPOINTS = "checkpoints"
"""The folder beside ``model`` that a killed run goes on from; it is removed at the end."""


class HuggingFaceTuner(EncoderTuner):
    """Tunes a transformers encoder by any of the methods of `FineTuning`.

    Under torchrun or ``accelerate launch`` every process calls `tune` with the same arguments; each embeds its
    part of a pool, and the first alone writes files, tracks and shows progress.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """Name the encoder; nothing is read yet."""
        self._settings = settings

    def preflight(self, recipe: TuningRecipe, pairs: int) -> Preflight:
        """See `EncoderTuner.preflight`."""
        from fusionapp.adapters.huggingface.tuning.building import build_objective
        from fusionapp.adapters.huggingface.tuning.distributed import assemble
        from fusionapp.adapters.huggingface.tuning.plan import plan_steps
        from fusionapp.adapters.huggingface.tuning.preflight import check_encoder

        plan_steps(recipe, pairs)
        encoder = self._open(recipe, 0, assemble(recipe.device))
        build_objective(encoder, recipe)
        return check_encoder(encoder, pairs, recipe.learning_rate)

    def tune(
        self,
        recipe: TuningRecipe,
        seed: int,
        train: PairSet,
        validation: PairSet,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedEncoder:
        """See `EncoderTuner.tune`."""
        from fusionapp.adapters.huggingface.tuning.building import build_loop
        from fusionapp.adapters.huggingface.tuning.distributed import assemble
        from fusionapp.adapters.huggingface.tuning.memory import peak_bytes
        from fusionapp.adapters.huggingface.tuning.preflight import check_encoder
        from fusionapp.adapters.huggingface.tuning.saved import save_tuned

        if not len(validation.pairs):
            raise UsageError("train: there are no validation pairs, by which training stops; split some off")
        crew = assemble(recipe.device)
        encoder = self._open(recipe, seed, crew)
        preflight = check_encoder(encoder, len(train.pairs), recipe.learning_rate)
        with _memory_guard(recipe):
            loop = build_loop(
                encoder,
                recipe,
                seed,
                train,
                validation,
                Path(directory, CHECKPOINTS),
                tracker,
                progress,
                crew,
            )
            standing = loop.run()
            if crew.leads:
                save_tuned(encoder, directory, recipe.similarity)
                loop.checkpoints.remove()
            crew.wait()
        return _result(str(Path(directory, "model")), preflight, standing, loop, peak_bytes(crew.device))

    def _open(self, recipe: TuningRecipe, seed: int, crew: Crew) -> TrainableEncoder:
        from fusionapp.adapters.huggingface.tuning.building import compute_dtype
        from fusionapp.adapters.huggingface.tuning.opening import open_trainable

        settings = attrs.evolve(
            self._settings,
            max_query_length=recipe.max_query_length or self._settings.max_query_length,
            max_document_length=recipe.max_document_length or self._settings.max_document_length,
        )
        name: Literal["float32", "bfloat16"]
        name = "bfloat16" if compute_dtype(recipe, crew.device).itemsize == 2 else "float32"
        return open_trainable(
            settings,
            recipe.finetuning,
            dtype=name,
            device=str(crew.device),
            dropout=recipe.dropout,
            bidirectional=recipe.bidirectional,
            activation_checkpointing=recipe.activation_checkpointing,
            seed=seed,
        )


def _result(
    directory: str, preflight: Preflight, standing: Standing, loop: TrainingLoop, peak: int
) -> TunedEncoder:
    pairs = standing.step * loop.plan.pools * loop.recipe.negatives_pool
    return TunedEncoder(
        directory=directory,
        preflight=preflight,
        best_step=standing.best_step,
        steps=standing.step,
        validation=standing.best,
        untuned=standing.untuned,
        seconds=standing.seconds,
        pairs_per_second=pairs / standing.seconds if standing.seconds else 0.0,
        peak_memory_bytes=peak,
        drawn=standing.drawn,
    )


@contextmanager
def _memory_guard(recipe: TuningRecipe) -> Iterator[None]:
    from fusionapp.adapters.torch_shared.shard import is_out_of_memory

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, ResourceError) or not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"memory: batch_tokens = {recipe.batch_tokens} at once do not fit; set fewer, which changes no "
            'gradient, or activation_checkpointing = true, dtype = "bfloat16", or finetuning.method = "lora"'
        ) from error
