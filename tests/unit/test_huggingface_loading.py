"""What is loaded, what is refused, and that nothing in a model's directory is ever run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.domain.errors import CorruptArtifactError, UsageError


def copy(kind: str, directory: Path, **config: Any) -> Path:
    shutil.copytree(tiny_model(kind), directory)
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    return directory


def encode(directory: Path, **settings: Any) -> Any:
    encoder = HuggingFaceEncoder(str(directory), dtype="float32", device="cpu", **settings)
    return encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings


def test_code_beside_a_native_model_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    directory = copy("bert", tmp_path / "model", auto_map={"AutoModel": "evil.Model", "AutoConfig": "evil.C"})
    (directory / "evil.py").write_text(f"open({str(ran)!r}, 'w')")
    encoder = HuggingFaceEncoder(str(directory), dtype="float32", device="cpu")

    found = np.asarray(encoder.encode(TEXTS, encoder.plan(1)).embeddings)

    assert np.array_equal(found, encode(tiny_model("bert")))
    assert not ran.exists()
    assert any("never run" in line for line in encoder.choices)


def test_a_model_that_only_its_own_code_can_run_is_refused(tmp_path: Path) -> None:
    directory = copy("bert", tmp_path / "model", model_type="exotic", auto_map={"AutoModel": "evil.Model"})

    with pytest.raises(UsageError, match=r"no code for 'exotic'.*trust_remote_code"):
        encode(directory)


def test_weights_that_are_missing_are_an_error_and_not_random_numbers(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = copy("bert", tmp_path / "model")
    state = load_file(directory / "model.safetensors")
    del state["encoder.layer.1.output.dense.weight"]
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(CorruptArtifactError, match=r"1 weights are missing, encoder\.layer\.1"):
        encode(directory)


def test_a_directory_without_weights_is_named(tmp_path: Path) -> None:
    directory = copy("bert", tmp_path / "model")
    (directory / "model.safetensors").unlink()

    with pytest.raises(CorruptArtifactError, match="no weights"):
        encode(directory)


def test_a_torch_checkpoint_gives_the_same_vectors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    directory = copy("bert", tmp_path / "model")
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()

    assert np.array_equal(encode(directory), encode(tiny_model("bert")))


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    directory = copy("bert", tmp_path / "model")
    (directory / "model.safetensors").unlink()
    ran = tmp_path / "ran"
    torch.save({"weight": Bomb(str(ran))}, directory / "pytorch_model.bin")

    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        encode(directory)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, name: str) -> None:
    directory = copy("bert", tmp_path / "model")
    (directory / "model.safetensors").unlink()
    (directory / name).write_bytes(b"abc" * 100)

    with pytest.raises(CorruptArtifactError, match="cannot be read") as caught:
        encode(directory)
    assert "\n" not in str(caught.value)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        encode(copy("bert", tmp_path / "model", hidden_size=16))


def test_bfloat16_stays_close_and_rotary_frequencies_stay_in_float32() -> None:
    exact = encode(tiny_model("llama"), pooling="mean")
    encoder = HuggingFaceEncoder(str(tiny_model("llama")), dtype="bfloat16", device="cpu", pooling="mean")

    close = np.asarray(encoder.encode(TEXTS, encoder.plan(1)).embeddings)

    error = np.linalg.norm(close - exact, axis=-1) / np.linalg.norm(exact, axis=-1)
    assert close.dtype == np.float32
    assert 0 < error.max() <= 3e-2
