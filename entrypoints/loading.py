"""`fusionapp.load`: whatever a run trained, ready for new texts."""

from __future__ import annotations

import os
from typing import Any

from fusionapp.entrypoints.prediction import load as load_classifier


def load(directory: str | os.PathLike[str], device: str = "auto") -> Any:
    """A trained classifier or router: ``runs/NAME`` is the ensemble of its seeds, ``runs/NAME/models/seed-K`` one.

    Args:
        directory: a run directory or a model directory.
        device: where models and encoders run.

    Returns:
        A `Classifier` of a classification run, a `LoadedRouter` of a routing one.

    Raises:
        UsageError: there is no model.
        CorruptArtifactError: the model, or an encoder that it was trained with, is not what it was.
    """
    from fusionapp.entrypoints.routing.routing import is_router, load_router

    return load_router(directory, device) if is_router(directory) else load_classifier(directory, device)
