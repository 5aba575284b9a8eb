"""What stands in the files of weights that an evaluation depends on."""

from __future__ import annotations

from collections.abc import Sequence

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.domain.errors import CorruptArtifactError


def hash_weights(runs: RunStore, group: str, seeds: Sequence[int]) -> list[str]:
    """SHA-256 of the weights of each of a group's heads and, last, of the linear path that they add to.

    Raises:
        CorruptArtifactError: one of the files is missing.
    """
    trained = runs.read_document(f"{group}/{TRAINED}")
    files = [f"{group}/seed-{seed}/head.safetensors" for seed in seeds]
    if trained is not None and trained.get("path") is not None:
        files.append(f"{group}/{LINEAR_PATH}/linear.safetensors")
    try:
        return [runs.hash_file(name) for name in files]
    except CorruptArtifactError as error:
        raise CorruptArtifactError(f"{error}; restore it, or train again with --overwrite") from error
