"""Looking through an ONNX file before anything loads it, by its protobuf bytes: no package but Python is needed.

Only what may reach out of the file is looked at: tensors that are kept in other files, and operators that are not
of onnxruntime's own sets. Message and field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from fusionapp.domain.errors import CorruptArtifactError

_MESSAGES: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
"""Which fields of a message hold messages that may name a file or an operator."""

_NODE_DOMAIN, _NODE_KIND = 7, 4
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
_REACHING = frozenset({"EPContext", "PythonOp"})
"""Operators of onnxruntime's own that load a compiled engine from a path, or call Python."""

_DEPTH = 64


def inspect_graph(path: Path) -> frozenset[str]:
    """Names of the files, all beside it, that a graph keeps tensors in.

    Raises:
        CorruptArtifactError: it names a file elsewhere or an operator from elsewhere, or it is no ONNX file.
    """
    if path.stat().st_size == 0:
        raise CorruptArtifactError(f"{path}: is empty; export the encoder again")
    found: set[str] = set()
    with path.open("rb") as file:
        content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        for kind, where in _walk(content, "model", 0):
            if kind == "node":
                _refuse_operators(path, where)
            elif (location := _location(where)) is not None:
                found.add(location)
    except (IndexError, ValueError) as error:
        raise CorruptArtifactError(f"{path}: not an ONNX file ({error}); export the encoder again") from error
    for name in found:
        # Names in the directory itself alone: what else is there to write beside a graph?
        if Path(name).name != name or name in ("", ".", ".."):
            raise CorruptArtifactError(
                f"{path}: keeps tensors in {name!r}, outside of it; that is not followed"
            )
    return frozenset(found)


def _walk(view: memoryview, kind: str, depth: int) -> Iterator[tuple[str, memoryview]]:
    """Every node and every entry about external data, at any depth."""
    if depth > _DEPTH:
        raise ValueError("graphs within graphs within graphs")
    for number, value in _fields(view):
        inner = _MESSAGES[kind].get(number)
        if inner is None or not isinstance(value, memoryview):
            continue
        if inner in ("node", "entry"):
            yield inner, value
        if inner != "entry":
            yield from _walk(value, inner, depth + 1)


def _location(entry: memoryview) -> str | None:
    """The file that an entry of a tensor's external data names, None where it says something else."""
    texts = {
        number: bytes(value).decode() for number, value in _fields(entry) if isinstance(value, memoryview)
    }
    return texts.get(_ENTRY_VALUE, "") if texts.get(_ENTRY_KEY) == "location" else None


def _refuse_operators(path: Path, node: memoryview) -> None:
    texts = {
        number: bytes(value).decode()
        for number, value in _fields(node)
        if number in (_NODE_DOMAIN, _NODE_KIND) and isinstance(value, memoryview)
    }
    domain, kind = texts.get(_NODE_DOMAIN, ""), texts.get(_NODE_KIND, "")
    if domain not in _DOMAINS or kind in _REACHING:
        raise CorruptArtifactError(f"{path}: asks for the operator {domain}.{kind}; that is not run")


def _fields(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """(field number, content) of each field of a message; numbers are None of our business but for skipping."""
    place = 0
    while place < len(view):
        tag, place = _varint(view, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(view, place)
            yield number, value
            continue
        if wire == 2:
            size, place = _varint(view, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + size > len(view):
            raise ValueError("a field longer than the file")
        if wire == 2:
            yield number, view[place : place + size]
        place += size


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
