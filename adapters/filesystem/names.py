"""Names that come from users or from files, kept inside their directory."""

from __future__ import annotations

from pathlib import Path

from fusionapp.domain.errors import UsageError

LONGEST_NAME = 200
"""Bytes of UTF-8 in one name; file systems take 255, and shards and suffixes need a few."""


def child(parent: Path, name: str, what: str) -> Path:
    """`parent / name`, where name is one plain component and no symbolic link leads elsewhere.

    Args:
        parent: the directory that must not be left; may itself be reached through links.
        name: any Unicode, but no separator, control character or leading dot.
        what: what the name stands for, for the message ("key", "split").

    Raises:
        UsageError: the name could leave the directory, hide in it or is too long.
    """
    problem = _problem(name)
    if problem is not None:
        raise UsageError(f"{what}: {name!r} {problem}; choose a plain name such as 'minilm-train'")
    path = parent / name
    if path.is_symlink():
        raise UsageError(f"{what}: {path} is a symbolic link, which is not followed; remove it")
    return path


def descendant(parent: Path, name: str, what: str) -> Path:
    """`parent / name`, where name is plain components joined by "/" ("models/seed-0/model.json").

    Raises:
        UsageError: as `child`, for any component.
    """
    path = parent
    for part in name.split("/"):
        path = child(path, part, what)
    return path


def _problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if name.startswith("."):
        return "starts with a dot"
    if any(letter in "/\\:" or not letter.isprintable() for letter in name):
        return "holds a separator or a character that cannot be printed"
    if len(name.encode("utf-8")) > LONGEST_NAME:
        return f"is longer than {LONGEST_NAME} bytes"
    return None
