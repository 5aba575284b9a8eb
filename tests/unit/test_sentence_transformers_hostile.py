"""Pipelines made to do harm: their code does not run, and files beside them are not read."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.watched import watched
from tiny_pipelines import save_pipeline

from fusionapp.adapters.sentence_transformers.encoder import SentenceTransformersEncoder
from fusionapp.domain.errors import CorruptArtifactError, FusionAppError, UsageError

EVIL = """
from pathlib import Path
Path(__file__).with_name("ran").touch()
class Foo:
    pass
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A pipeline with a dense layer, to be spoilt, and code beside it."""
    saved = save_pipeline("dense", tmp_path / "p")
    (saved / "custom_st.py").write_text(EVIL)
    return saved


def encode(directory: Path) -> None:
    encoder = SentenceTransformersEncoder(str(directory), device="cpu")
    encoder.encode(["a"], encoder.plan(1))


def change(path: Path, by: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    path.write_text(json.dumps(by(content) or content))


@pytest.mark.parametrize(
    "kind",
    ["custom_st.Foo", "my_module.Evil", "os.system", "sentence_transformersx.Foo", "..custom_st.Foo", ""],
)
def test_a_module_of_another_package_is_refused_by_its_name(
    directory: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory)
    monkeypatch.syspath_prepend(str(directory))
    change(directory / "modules.json", lambda modules: modules[2].update(type=kind))
    with pytest.raises(UsageError, match=f"modules.json names the module '{kind}'"):
        encode(directory)
    assert not (directory / "ran").exists()


def test_a_class_of_the_library_that_is_no_module_does_not_run(directory: Path) -> None:
    kind = "sentence_transformers.util.misc.import_from_string"
    change(directory / "modules.json", lambda modules: modules[2].update(type=kind))
    with pytest.raises(FusionAppError):
        encode(directory)


@pytest.mark.parametrize("path", ["../other", "/etc", "a/../../other"])
def test_a_module_outside_of_the_directory_is_not_opened(directory: Path, path: str) -> None:
    other = directory.parent / "other"
    (directory / "2_Dense").rename(other)
    change(directory / "modules.json", lambda modules: modules[2].update(path=path))
    with watched() as opened, pytest.raises(CorruptArtifactError, match="outside"):
        encode(directory)
    assert not any(found.is_relative_to(other) or found.is_relative_to("/etc") for found in opened)


def test_a_modules_folder_that_is_a_link_out_of_the_directory_is_not_followed(directory: Path) -> None:
    other = directory.parent / "other"
    (directory / "2_Dense").rename(other)
    (directory / "2_Dense").symlink_to(other)
    with pytest.raises(CorruptArtifactError, match="leads out"):
        encode(directory)


@pytest.mark.parametrize("name", ["config.json", "sentence_bert_config.json"])
@pytest.mark.parametrize("attention", ["evil/kernels", "../kernels"])
def test_an_attention_that_names_code_elsewhere_is_refused(
    directory: Path, name: str, attention: str
) -> None:
    change(directory / name, lambda config: config.update(model_args={"attn_implementation": attention}))
    with pytest.raises(UsageError, match=f"{name} asks for the kernel"):
        encode(directory)


@pytest.mark.parametrize("activation", ["custom_st.Foo", "torch.hub.load", "torch.nn.init.ones_"])
def test_an_activation_that_is_none_of_torchs_is_refused(directory: Path, activation: str) -> None:
    change(
        directory / "2_Dense" / "config.json", lambda config: config.update(activation_function=activation)
    )
    with pytest.raises(UsageError, match="names the activation"):
        encode(directory)


def test_a_method_that_is_no_forward_pass_is_refused(directory: Path) -> None:
    change(
        directory / "sentence_bert_config.json",
        lambda config: config["modality_config"]["text"].update(method="push_to_hub"),
    )
    with pytest.raises(UsageError, match="push_to_hub"):
        encode(directory)


def test_a_pickle_that_runs_code_does_not(directory: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (directory / "ran",)

    weights = directory / "2_Dense" / "model.safetensors"
    weights.unlink()
    for content in (pickle.dumps(Evil()), None):
        path = weights.with_name("pytorch_model.bin")
        path.write_bytes(content) if content else torch.save(Evil(), path)
        with pytest.raises(FusionAppError):
            encode(directory)
    assert not (directory / "ran").exists()


def test_plain_tensors_in_a_pickle_are_read(directory: Path) -> None:
    from safetensors.torch import load_file

    weights = directory / "2_Dense" / "model.safetensors"
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    encode(directory)


def test_code_that_a_transformers_configuration_names_does_not_run(directory: Path) -> None:
    change(directory / "config.json", lambda config: config.update(auto_map={"AutoModel": "custom_st.Foo"}))
    encode(directory)
    assert not (directory / "ran").exists()


@pytest.mark.parametrize("content", ["[", "3", "{}", "[]", "[3]", '[{"type": 3}]', "null", "[" * 100_000])
def test_a_list_of_modules_of_another_form_is_an_error_of_one_line(directory: Path, content: str) -> None:
    (directory / "modules.json").write_text(content)
    with pytest.raises(FusionAppError, match=r"modules\.json") as caught:
        encode(directory)
    assert "\n" not in str(caught.value)


def test_a_pipeline_that_starts_with_images_is_refused(directory: Path) -> None:
    kind = "sentence_transformers.models.CLIPModel"
    change(directory / "modules.json", lambda modules: modules[0].update(type=kind))
    with pytest.raises(UsageError, match="starts with a CLIPModel"):
        encode(directory)
