"""What a pipeline's files may not ask for: code beside it, kernels of a hub, files outside of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionapp.adapters.model_files.checkpoint import inside, read_json
from fusionapp.adapters.model_files.foreign_code import refuse_foreign_kernels, walk
from fusionapp.domain.errors import CorruptArtifactError, UsageError

_OURS = "sentence_transformers."
_ACTIVATIONS = "torch.nn.modules."

_METHODS = ("forward", "get_")
"""How methods begin that a transformer may be called by; ``push_to_hub`` is one, too."""


def refuse_code(directory: Path, modules: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a pipeline whose files name code that is not sentence-transformers' own.

    sentence-transformers imports what ``type`` in ``modules.json`` names, which up to version 5 may be a file
    beside it, and likewise a router's modules, a word tokenizer's class and a dense layer's activation.

    Raises:
        UsageError: there is such a name, or a kernel of a hub.
        CorruptArtifactError: a path leads out of the directory, or a file is not JSON.
    """
    for module in modules:
        _refuse_type(str(module["type"]), "modules.json")
        folder = inside(directory, str(module["path"]))
        if not folder.resolve().is_relative_to(directory.resolve()):
            raise CorruptArtifactError(f"{folder}: leads out of {directory}; that is not followed")
    for path in _configurations(directory, modules):
        _refuse_names(read_json(path), path.relative_to(directory).as_posix())


def _configurations(directory: Path, modules: Sequence[Mapping[str, Any]]) -> Iterator[Path]:
    """Every small JSON file of the pipeline; a router has folders of modules in its own."""
    yield from sorted(directory.glob("*config*.json"))
    for path in sorted({str(module["path"]) for module in modules} - {""}):
        yield from sorted((directory / path).rglob("*config*.json"))


def _refuse_names(config: Any, name: str) -> None:
    refuse_foreign_kernels(config, name)
    for key, value in walk(config):
        if key == "types" and isinstance(value, Mapping):
            for kind in value.values():
                _refuse_type(str(kind), name)
        elif key == "tokenizer_class" and "." in str(value):
            _refuse_type(str(value), name)
        elif key == "activation_function" and not str(value).startswith(_ACTIVATIONS):
            raise UsageError(
                f"model: {name} names the activation {value!r}, which is none of torch.nn's; that is refused"
            )
        elif key == "method" and not str(value).startswith(_METHODS):
            raise UsageError(f"model: {name} has the model's {value!r} called; that is refused")


def _refuse_type(kind: str, name: str) -> None:
    if not kind.startswith(_OURS):
        raise UsageError(
            f"model: {name} names the module {kind!r}, which is not sentence-transformers' own; its code is never "
            "run here"
        )
