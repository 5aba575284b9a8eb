"""What vectors that were made elsewhere promise, in files and in memory alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.imports import MemoryImport, matrix

from fusionapp.adapters.imported.encoder import ImportedEncoder
from fusionapp.application.ports.imported_vectors import VectorsBySplit
from fusionapp.domain.embeddings import Dense, fingerprint
from fusionapp.domain.errors import UsageError

Build = Callable[[Mapping[str, Dense]], VectorsBySplit]


@pytest.fixture(params=["memory", "npy", "pt"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    def in_files(matrices: Mapping[str, Dense]) -> VectorsBySplit:
        files = {}
        for split, rows in matrices.items():
            files[split] = str(tmp_path / f"{split}.{request.param}")
            if request.param == "npy":
                np.save(files[split], rows)
            else:
                torch.save(torch.from_numpy(rows), files[split])
        return ImportedEncoder(files)

    return (lambda matrices: MemoryImport(**matrices)) if request.param == "memory" else in_files


def test_rows_and_shape_are_known_before_anything_is_read(build: Build) -> None:
    vectors = build({"train": matrix(10)}).of_split("train")
    assert vectors.rows == 10
    assert (vectors.shape.layers, vectors.shape.dim, vectors.shape.sparse) == (2, 4, False)
    assert vectors.origin


def test_ranges_come_in_the_order_asked_for(build: Build) -> None:
    vectors = build({"train": matrix(10)}).of_split("train")
    blocks = list(vectors.read([(0, 4), (4, 5), (8, 10)]))
    for block, (start, stop) in zip(blocks, [(0, 4), (4, 5), (8, 10)], strict=True):
        assert block.dtype == np.float32
        np.testing.assert_array_equal(block, matrix(10)[start:stop])


def test_they_can_be_read_again(build: Build) -> None:
    vectors = build({"train": matrix(10)}).of_split("train")
    for _ in range(2):
        (block,) = vectors.read([(0, 10)])
        np.testing.assert_array_equal(block, matrix(10))


def test_the_identity_is_json_and_each_split_has_its_own(build: Build) -> None:
    both = build({"train": matrix(10), "test": matrix(6, 1)})
    identities = [both.of_split(split).identity for split in ("train", "test")]
    assert json.loads(json.dumps(identities)) == identities
    assert len({fingerprint(identity) for identity in identities}) == 2


def test_a_split_without_vectors_is_a_usage_error(build: Build) -> None:
    with pytest.raises(UsageError, match="'test'"):
        build({"train": matrix(10)}).of_split("test")
