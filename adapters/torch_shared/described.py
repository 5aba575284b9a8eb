"""An artefact of two files: numbers in safetensors, and a card of JSON that says what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from json import dumps, loads
from pathlib import Path
from typing import TypeVar

import attrs
from cattrs import Converter
from cattrs.errors import BaseValidationError, ForbiddenExtraKeysError
from safetensors import SafetensorError

from fusionapp.adapters.torch_shared.artefacts import read_whole, write_whole
from fusionapp.domain.errors import CorruptArtifactError, ResourceError

T = TypeVar("T")


def write_described(
    weights: Path, content: bytes, card_path: Path, card: attrs.AttrsInstance, kind: str
) -> None:
    """Write both files, numbers first, each under another name and then renamed.

    Args:
        weights: where the numbers go.
        content: the numbers.
        card_path: where the card goes; the same folder.
        card: holds the SHA-256 of the numbers.
        kind: what it is, for messages: "head".

    Raises:
        ResourceError: the disk is full, or the folder cannot be written to.
    """
    folder = weights.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(weights, content)
        write_whole(card_path, (dumps(attrs.asdict(card), indent=2) + "\n").encode())
    except OSError as error:
        raise ResourceError(
            f"{folder}: the {kind} cannot be written ({error.strerror}); free space or permit it"
        ) from error


def read_described(path: Path, kind: str, format: int, structure: type[T], converter: Converter) -> T:
    """The card in a file; whether its values make sense is the caller's to say.

    Raises:
        CorruptArtifactError: the file is missing, or is no card of that format.
    """
    try:
        document = loads(read_whole(path))
        if not isinstance(document, dict) or document.get("format") != format:
            raise CorruptArtifactError(
                f"{path}: not a {kind} of format {format}; train again with this version"
            )
        return converter.structure(document, structure)
    except (BaseValidationError, ForbiddenExtraKeysError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, CorruptArtifactError):
            raise
        raise CorruptArtifactError(f"{path}: does not describe a {kind} ({error!r}); train again") from error


def read_numbers(
    path: Path, digest: str, card_name: str, load: Callable[[bytes], Mapping[str, T]]
) -> Mapping[str, T]:
    """The tensors of a file that the card beside it knows.

    Args:
        path: the file.
        digest: its SHA-256 by the card.
        card_name: the card's file name, for messages.
        load: safetensors' own, for numpy or torch.

    Raises:
        CorruptArtifactError: the file is missing, was changed, or is not safetensors.
    """
    content = read_whole(path)
    if sha256(content).hexdigest() != digest:
        raise CorruptArtifactError(f"{path}: its SHA-256 is not the one in {card_name}; train again")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise CorruptArtifactError(f"{path}: not a safetensors file ({error}); train again") from error
