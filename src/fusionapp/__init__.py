"""Extract, fuse, train and honestly evaluate text embeddings.

The Python API mirrors the commands, and each name is resolved on first use, so that importing the package
imports no torch:

>>> import fusionapp
>>> callable(fusionapp.extract)
True
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusionapp.entrypoints.api import (
        Classifier as Classifier,
        Experiment as Experiment,
        SearchBudget as SearchBudget,
        evaluate as evaluate,
        extract as extract,
        load as load,
        train as train,
    )
    from fusionapp.entrypoints.explanations import explain as explain
    from fusionapp.entrypoints.routing.adding import add_model as add_model
    from fusionapp.entrypoints.sweep.running import sweep as sweep

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "Experiment",
    "SearchBudget",
    "__version__",
    "add_model",
    "evaluate",
    "explain",
    "extract",
    "load",
    "sweep",
    "train",
]
_HOMES = {"add_model": "routing.adding", "explain": "explanations", "sweep": "sweep.running"}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"fusionapp.entrypoints.{_HOMES.get(name, 'api')}"), name)
    raise AttributeError(f"module 'fusionapp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
