"""A run of training in its own process, which may be killed at a step: ``tuner_child.py MODEL DIRECTORY JSON``.

JSON: ``kill`` (a step, 0 for none) and changes of the recipe.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping

import torch
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from tuning_pairs import recipe, toy_pairs

from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.tuner import HuggingFaceTuner


class DeadlyTracker(RecordingTracker):
    """Ends the process, with no chance to tidy up, when a step is logged."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def log(self, run: str, step: int, metrics: Mapping[str, float]) -> None:
        super().log(run, step, metrics)
        if step == self._step and step:
            os.kill(os.getpid(), signal.SIGKILL)


def main(model: str, directory: str, settings: str) -> None:
    torch.set_num_threads(1)
    changes = json.loads(settings)
    kill = changes.pop("kill", 0)
    HuggingFaceTuner(EncoderSettings(model)).tune(
        recipe(**changes),
        3,
        toy_pairs(),
        toy_pairs(),
        directory,
        DeadlyTracker(kill),
        CountingProgress(),
    )
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
