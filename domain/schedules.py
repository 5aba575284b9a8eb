"""How a learning rate rises and falls over a run."""

from __future__ import annotations

from math import cos, pi
from typing import Literal

Schedule = Literal["constant", "cosine", "linear"]


def rate_factor(schedule: Schedule, warmup: float, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at step 0, 1, ... of `steps`.

    It rises linearly over the warm-up's steps, the last of which has the full size; from there on cosine and
    linear fall to 0 just after the last step.

    Args:
        schedule: constant, cosine or linear.
        warmup: share of all steps in which it rises, below 1.
        step: counted from 0.
        steps: of the whole run.

    Returns:
        A number in (0, 1].
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    part = (step - rising) / (steps - rising)
    return {"constant": 1.0, "cosine": (1 + cos(pi * part)) / 2, "linear": 1 - part}[schedule]
