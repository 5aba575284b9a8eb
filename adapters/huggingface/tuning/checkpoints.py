"""What a killed run goes on from."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex
from typing import Any

import attrs
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusionapp.adapters.torch_shared.artefacts import read_whole, write_whole
from fusionapp.domain.errors import CorruptArtifactError, ResourceError

logger = logging.getLogger(__name__)

_FORMAT = 1
_STATE = "state.json"


@attrs.frozen(eq=False)
class Checkpoint:
    """A point of a run.

    Attributes:
        state: numbers and texts, as JSON holds them.
        tensors: everything else, by name.
    """

    state: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


class Checkpoints:
    """A folder with the last point of a run and its best weights so far, each whole or not there.

    ``state.json`` names the other files and their hashes, and is replaced last: a process that is killed while it
    writes leaves the point before.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Look at nothing yet.

        Args:
            folder: of this run alone.
            fingerprint: of everything that the weights depend on; another run's points are thrown away.
        """
        self.folder = folder
        self._fingerprint = fingerprint
        self._best: dict[str, str] | None = None

    def read(self) -> Checkpoint | None:
        """The last point, None where there is none of this run.

        Raises:
            CorruptArtifactError: a file is not what was written.
        """
        path = self.folder / _STATE
        if not path.exists():
            return None
        try:
            content = json.loads(read_whole(path))
            same = (content["format"], content["fingerprint"]) == (_FORMAT, self._fingerprint)
            names = content["last"], content["best"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CorruptArtifactError(f"{path}: describes no checkpoint; remove {self.folder}") from error
        if not same:
            logger.info("%s: of other settings, data or weights; training begins anew", self.folder)
            return None
        last, self._best = names
        return Checkpoint(content["state"], self._load(last))

    def best(self) -> dict[str, Tensor]:
        """The best weights so far.

        Raises:
            CorruptArtifactError: the file is not what was written.
        """
        assert self._best is not None, "written with the first point"
        return self._load(self._best)

    def keep_best(self, step: int, weights: Mapping[str, Tensor]) -> None:
        """Write the best weights; the next `write` makes them count.

        Raises:
            ResourceError: the disk is full.
        """
        self._best = self._save(f"best-{step}", weights)

    def write(self, step: int, state: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Write a point and make it the last one.

        Raises:
            ResourceError: the disk is full.
        """
        last = self._save(f"step-{step}", tensors)
        content = {
            "format": _FORMAT,
            "fingerprint": self._fingerprint,
            "last": last,
            "best": self._best,
            "state": dict(state),
        }
        try:
            write_whole(self.folder / _STATE, json.dumps(content).encode())
            _sync(self.folder)
        except OSError as error:
            raise _no_space(self.folder, error) from error
        keep = {_STATE, last["name"], (self._best or last)["name"]}
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the folder; training is done."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def _save(self, name: str, tensors: Mapping[str, Tensor]) -> dict[str, str]:
        # A fresh name: the file that the present state.json speaks of is never written over.
        path = self.folder / f"{name}.{token_hex(4)}.safetensors"
        temporary = path.with_suffix(".tmp")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, temporary)
            with temporary.open("rb") as file:
                digest = file_digest(file, "sha256").hexdigest()
                os.fsync(file.fileno())
            temporary.replace(path)
            _sync(self.folder)
        except (OSError, SafetensorError) as error:
            temporary.unlink(missing_ok=True)
            raise _no_space(self.folder, error) from error
        return {"name": path.name, "sha256": digest}

    def _load(self, file: Mapping[str, str]) -> dict[str, Tensor]:
        path = self.folder / Path(file["name"]).name
        try:
            with path.open("rb") as stream:
                intact = file_digest(stream, "sha256").hexdigest() == file["sha256"]
            loaded = load_file(path) if intact else {}
        except (OSError, SafetensorError) as error:
            raise CorruptArtifactError(f"{path}: cannot be read; remove {self.folder}") from error
        if not intact:
            raise CorruptArtifactError(f"{path}: not what was written there; remove {self.folder}")
        return loaded


def _sync(folder: Path) -> None:
    """Make the names in a folder durable; what does not open as a folder (Windows) cannot be synced."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _no_space(folder: Path, error: Exception) -> ResourceError:
    return ResourceError(f"{folder}: a checkpoint cannot be written ({error}); free some space and run again")
