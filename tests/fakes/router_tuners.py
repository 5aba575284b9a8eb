"""A tuner of routers' encoders that tunes nothing and keeps its promises."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fusionapp.application.ports.encoder_tuner import Preflight
from fusionapp.application.ports.progress import Progress
from fusionapp.application.ports.router import AnsweredPrompts
from fusionapp.application.ports.router_tuner import RouterEncoderTuner, TunedRouterEncoder
from fusionapp.application.ports.tracker import Tracker
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.recipe import RouterRecipe

_START = {"quality": 0.5, "pairwise_accuracy": 0.5, "loss": 0.5}
_END = {"quality": 0.75, "pairwise_accuracy": 0.6, "loss": 0.25}


class PromisedRouterTuner(RouterEncoderTuner):
    """Says that two steps improved the encoder, or that none did, and counts how often it was asked."""

    def __init__(self, improves: bool = True, advice: Sequence[str] = ()) -> None:
        self.improves = improves
        self.advice = tuple(advice)
        self.asked: list[str] = []

    def tune(
        self,
        recipe: RouterRecipe,
        encoder: str,
        seed: int,
        train: AnsweredPrompts,
        validation: AnsweredPrompts,
        directory: str,
        tracker: Tracker,
        progress: Progress,
    ) -> TunedRouterEncoder:
        self.asked.append(encoder)
        if encoder not in train.prompts.embeddings:
            raise UsageError(f"tuning: the prompts have no dense embeddings of {encoder!r}; there are none")
        with progress.task("tune the encoder", total=2, unit="steps") as task:
            tracker.log("encoder", 0, {f"validation_{name}": value for name, value in _START.items()})
            task.advance(2)
            end = _END if self.improves else _START
            tracker.log("encoder", 2, {f"validation_{name}": value for name, value in end.items()})
        preflight = Preflight(recipe.finetuning.method, 1, 2, {"float32": 2}, 1e-3, (), self.advice)
        if not self.improves:
            return TunedRouterEncoder(None, preflight, 2, 0, _START, _START, 0.5)
        model = Path(directory, "model")
        model.mkdir(parents=True, exist_ok=True)
        (model / "weights").write_text(f"{encoder} {seed}", encoding="utf-8")
        return TunedRouterEncoder({"pooling": "mean"}, preflight, 2, 2, _END, _START, 0.5)
