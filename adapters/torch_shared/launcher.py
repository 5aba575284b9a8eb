"""What a launcher (torchrun, accelerate) tells each of the processes that it started; needs no torch."""

from __future__ import annotations

import os


def launched() -> int:
    """How many processes there are; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process is the one that writes files and reports."""
    return launched() < 2 or int(os.environ.get("RANK", "0")) == 0
