"""Random streams: one per seed and purpose, so that no seed's numbers depend on who is trained beside it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

import torch

Purpose = Literal["weights", "order", "dropout", "model embeddings"]


def seed_stream(seed: int, purpose: Purpose, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator that a seed uses for one purpose only.

    Purposes are separated by a hash rather than by adding constants to the seed, so that the dropout of one
    seed never equals the initialisation of another.
    """
    digest = sha256(f"{purpose}:{seed}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "little"))


def seed_streams(
    seeds: Sequence[int], purpose: Purpose, device: torch.device | str = "cpu"
) -> list[torch.Generator]:
    """One `seed_stream` for each seed."""
    return [seed_stream(seed, purpose, device) for seed in seeds]
