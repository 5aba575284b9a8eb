"""Turning torch's ways of running out of memory into one error with a way out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fusionapp.domain.errors import FusionAppError, ResourceError


@contextmanager
def memory_guard(way_out: str) -> Iterator[None]:
    """Raise `ResourceError` with the way out where a device or the host has no memory left.

    torch's CPU allocator raises a bare RuntimeError, which only its text tells from others.
    """
    try:
        yield
    except FusionAppError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceError(f"out of memory: {way_out}") from error
    except RuntimeError as error:
        if "allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise ResourceError(f"out of memory: {way_out}") from error
