"""Arrays in one piece: .npy, .safetensors and .pt, all of them mapped, none of them unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np

from fusionapp.adapters.imported.matrix import Matrix, layers_and_dim, sliced
from fusionapp.domain.errors import UsageError

_BROKEN = (ValueError, OSError, EOFError, RuntimeError, KeyError, TypeError, OverflowError, BadZipFile)
"""What libraries raise over files that are not what their suffix says."""


def open_npy(path: Path) -> Matrix:
    """An array that `numpy.save` wrote.

    Raises:
        UsageError: it holds objects, integers or fewer bytes than it says, or is no .npy file.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        raise UsageError(
            f"{path}: not a whole .npy file of numbers ({error}); nothing is unpickled: save it anew with "
            "numpy.save(path, matrix.astype('float32'))"
        ) from error
    _check_floating(array.dtype.kind == "f", array.dtype, path)
    shape = layers_and_dim(array.shape, str(path))
    return Matrix(int(array.shape[0]), *shape, sliced(array, shape, np.asarray))


def open_safetensors(path: Path) -> Matrix:
    """The one tensor of a .safetensors file, or the one called ``embeddings``.

    Raises:
        UsageError: there are several, it holds integers, or it is no .safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(path, framework="pt")
        names = list(file.keys())
        tensor = file.get_slice(_one_of(names, path))
        dtype, axes = tensor.get_dtype(), tensor.get_shape()
    except (SafetensorError, OSError) as error:
        raise UsageError(f"{path}: not a whole .safetensors file ({error}); save it anew") from error
    _check_floating(str(dtype).startswith(("F", "BF")), dtype, path)
    shape = layers_and_dim(axes, str(path))
    return Matrix(int(axes[0]), *shape, sliced(tensor, shape, _plain))


def open_pt(path: Path) -> Matrix:
    """A tensor that `torch.save` wrote, alone or as the only one of a dict.

    Raises:
        UsageError: it holds other objects, integers or fewer bytes than it says, or is no file of torch's.
    """
    import torch

    _check_archive(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError as error:
        raise UsageError(
            f"{path}: holds more than tensors, and nothing else is unpickled; save the tensor alone with "
            "torch.save(tensor, path)"
        ) from error
    except _BROKEN as error:
        raise UsageError(
            f"{path}: not a whole file of torch.save's ({_first_line(error)}); save it anew"
        ) from error
    if isinstance(found, Mapping):
        tensors = {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}
        found = tensors.get(_one_of([str(name) for name in tensors], path))
    if not isinstance(found, torch.Tensor) or found.layout != torch.strided or found.is_quantized:
        raise UsageError(
            f"{path}: expected one dense tensor, got {type(found).__name__}; save the matrix alone"
        )
    # A tensor can repeat few numbers over any number of rows; what it says must be there.
    if found.device.type != "cpu" or found.numel() * found.element_size() > found.untyped_storage().nbytes():
        raise UsageError(
            f"{path}: holds fewer numbers than its shape {tuple(found.shape)} says; save a whole copy"
        )
    _check_floating(found.is_floating_point(), found.dtype, path)
    shape = layers_and_dim(found.shape, str(path))
    return Matrix(int(found.shape[0]), *shape, sliced(found.detach(), shape, _plain))


def _check_archive(path: Path) -> None:
    """Refuse a .pt archive that would grow when it is read: torch stores its parts as they are.

    Raises:
        UsageError: it is compressed, claims more bytes than it has, or is no archive.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except _BROKEN as error:
        raise UsageError(
            f"{path}: not a whole file of torch.save's since 1.6 ({_first_line(error)}); save it anew"
        ) from error
    claimed = sum(member.file_size for member in members)
    if any(member.compress_type != ZIP_STORED for member in members) or claimed > path.stat().st_size:
        raise UsageError(f"{path}: is compressed, which torch.save never does; save it anew with torch.save")


def _one_of(names: list[str], path: Path) -> str:
    """The only name, or the one called ``embeddings``."""
    if len(names) == 1:
        return names[0]
    if "embeddings" in names:
        return "embeddings"
    listed = ", ".join(names[:5]) or "none"
    raise UsageError(f"{path}: expected one tensor, or one called 'embeddings', got {listed}; save it alone")


def _check_floating(floating: bool, dtype: object, path: Path) -> None:
    if not floating:
        raise UsageError(
            f"{path}: {dtype} are no floating-point numbers; convert to float32 and save it anew"
        )


def _plain(tensor: Any) -> Any:
    return tensor.float().numpy()


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
