"""Models in the hub's cache, as `huggingface_hub` lays it out, without a network."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.model_files import checkpoint
from fusionapp.adapters.model_files.checkpoint import hash_files
from fusionapp.domain.errors import CorruptArtifactError, UpstreamError, UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with the tiny BERT as someone/tiny: a snapshot of links to blobs, large ones named by SHA-256."""
    repository = tmp_path / "models--someone--tiny"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    snapshot.mkdir(parents=True)
    for path in tiny_model("bert").iterdir():
        content = path.read_bytes()
        large = path.suffix == ".safetensors"
        name = (hashlib.sha256 if large else hashlib.sha1)(content).hexdigest()
        (repository / "blobs" / name).write_bytes(content)
        (snapshot / path.name).symlink_to(repository / "blobs" / name)
    return tmp_path


def build(cache: Path, model: str = "someone/tiny", **settings: object) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(
        model,
        cache_dir=str(cache),
        dtype="float32",
        device="cpu",
        **settings,  # type: ignore[arg-type]  # settings of several types
    )


def test_a_cached_model_is_used_without_a_network(cache: Path) -> None:
    encoder = build(cache)
    local = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")

    found = encoder.encode(TEXTS, encoder.plan(1)).embeddings

    assert np.array_equal(np.asarray(found), np.asarray(local.encode(TEXTS, local.plan(1)).embeddings))


def test_the_same_weights_have_the_same_identity_wherever_they_stand(cache: Path) -> None:
    local = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")

    assert build(cache).identity == local.identity


def test_a_model_that_is_not_cached_says_what_to_do(cache: Path) -> None:
    with pytest.raises(UpstreamError, match=r"someone/else is not in the cache.*check the network"):
        _ = build(cache, "someone/else").shape


def test_a_cached_model_without_its_weights_is_named(cache: Path) -> None:
    next(cache.rglob("snapshots/*/model.safetensors")).unlink()

    assert build(cache).shape.dim == 32
    with pytest.raises(CorruptArtifactError, match="no weights"):
        _ = build(cache).identity


def test_code_of_another_repository_is_refused_even_when_code_is_trusted(cache: Path) -> None:
    config = next(cache.rglob("snapshots/*/config.json"))
    content = json.loads(config.read_text()) | {"auto_map": {"AutoModel": "other/repo--code.Model"}}
    config.unlink()
    config.write_text(json.dumps(content))

    with pytest.raises(UsageError, match="code of another repository"):
        _ = build(cache, trust_remote_code=True, revision=COMMIT).shape
    assert build(cache).shape.dim == 32


def test_a_settled_file_is_read_once_and_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    digest = checkpoint._digest

    def counted(path: Path) -> str:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(checkpoint, "_digest", counted)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"one")
    for _ in range(2):
        hash_files([path])
    assert len(read) == 2  # too young for its time to tell a change
    os.utime(path, ns=(0, 10**18))
    for _ in range(2):
        assert hash_files([path]) == {path.name: hashlib.sha256(b"one").hexdigest()}
    assert len(read) == 3
    path.write_bytes(b"two")
    os.utime(path, ns=(0, 10**18 + 1))
    assert hash_files([path]) == {path.name: hashlib.sha256(b"two").hexdigest()}
