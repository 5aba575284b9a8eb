"""Why a model cannot be loaded, said once for every library that loads one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusionapp.adapters.torch_shared.shard import is_out_of_memory
from fusionapp.domain.errors import (
    CorruptArtifactError,
    FusionAppError,
    ResourceError,
    UsageError,
    first_line,
)


@contextmanager
def explain_errors(
    model: str | Path, *, unable: str, smaller: str, unfit: tuple[type[Exception], ...]
) -> Iterator[None]:
    """Say in one line why a model cannot be loaded: the libraries raise anything from IndexError to RuntimeError.

    Args:
        model: as the user knows it.
        unable: who cannot do what with a model that does not suit, such as "transformers cannot load".
        smaller: what to do where memory is too small.
        unfit: errors by which the library says that the model does not suit it.

    Raises:
        ResourceError: memory ran out inside the block.
        UsageError: the library cannot run the model.
        CorruptArtifactError: the files are not its weights.
    """
    try:
        yield
    except FusionAppError:
        raise
    except Exception as error:
        reason = first_line(error)
        if is_out_of_memory(error):
            raise ResourceError(f"memory: the weights of {model} do not fit; {smaller}") from error
        if isinstance(error, unfit):
            raise UsageError(f"model: {unable} {model}: {reason}") from error
        raise CorruptArtifactError(
            f"model: the weights of {model} cannot be read ({reason}); fetch the model again"
        ) from error
