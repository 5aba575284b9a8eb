"""Models made to do harm: nothing in them runs, no file beside them is read, and none fills the memory."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.watched import watched
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.domain.errors import CorruptArtifactError, FusionAppError, UsageError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny BERT to be spoilt."""
    return Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))


def encode(directory: Path) -> Any:
    encoder = HuggingFaceEncoder(str(directory), dtype="float32", device="cpu")
    return encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings


@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json", "modules.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000, "nul", "\x00", "[NaN"])
def test_json_of_any_kind_is_an_error_of_one_line(model: Path, name: str, content: str) -> None:
    if name.startswith("model.safetensors"):
        (model / "model.safetensors").unlink()
    (model / name).write_text(content)
    with pytest.raises(FusionAppError, match=name) as caught:
        encode(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "index",
    [
        [],
        3,
        {},
        {"weight_map": None},
        {"weight_map": ["a"]},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": ["b"]}},
    ],
    ids=repr,
)
def test_an_index_of_weights_of_another_form_is_corrupt(model: Path, index: Any) -> None:
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CorruptArtifactError, match=r"index\.json|no weights"):
        encode(model)


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/../../secret.safetensors"])
def test_weights_outside_of_the_model_are_not_opened(model: Path, name: str) -> None:
    secret = model.parent / "secret.safetensors"
    (model / "model.safetensors").rename(secret)
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with watched() as opened, pytest.raises(CorruptArtifactError, match="outside"):
        encode(model)
    assert not {secret, Path("/etc/passwd")} & set(opened)


def test_a_pickled_checkpoint_that_would_unpack_to_more_than_it_is_is_refused(model: Path) -> None:
    (model / "model.safetensors").unlink()
    path = model / "pytorch_model.bin"
    torch.save({"weight": torch.zeros(1_000_000)}, path)
    squeezed = path.with_name("squeezed")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(squeezed, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    squeezed.replace(path)
    assert path.stat().st_size < 20_000
    with pytest.raises(CorruptArtifactError, match=r"pytorch_model\.bin.*compressed"):
        encode(model)


@pytest.mark.parametrize("attention", ["evil/kernels", "evil/kernels@main", "../kernels"])
def test_an_attention_that_names_code_elsewhere_is_refused(model: Path, attention: str) -> None:
    config = json.loads((model / "config.json").read_text())
    for key in ("attn_implementation", "_attn_implementation"):
        (model / "config.json").write_text(json.dumps(config | {key: attention}))
        with pytest.raises(UsageError, match="attn"):
            encode(model)
