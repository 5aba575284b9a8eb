"""Saved pipelines, held to what sentence-transformers itself makes of them."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_models import DIM, TEXTS, tiny_model
from tiny_pipelines import DENSE_DIM, MAX_LENGTH, PIPELINES, save_pipeline, tiny_pipeline

from fusionapp.adapters.sentence_transformers.encoder import SentenceTransformersEncoder
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError

DIMS = {"dense": DENSE_DIM, "layers": DIM, "cnn": 16, "lstm": 16, "static": DENSE_DIM}


def build(directory: Path, **settings: object) -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(str(directory), device="cpu", **settings)  # type: ignore[arg-type]


def vectors(encoder: SentenceTransformersEncoder, texts: tuple[str, ...] = TEXTS) -> NDArray[np.float32]:
    encoding = encoder.encode(list(texts), encoder.plan(len(texts)))
    assert isinstance(encoding.embeddings, np.ndarray)
    return encoding.embeddings


def library(directory: Path, prompt: str | None = None) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu")
    found: NDArray[np.float32] = model.encode(
        list(TEXTS), prompt=prompt, batch_size=1, show_progress_bar=False
    )
    return found


@pytest.mark.parametrize("kind", PIPELINES)
def test_vectors_are_the_librarys(kind: str) -> None:
    found = vectors(build(tiny_pipeline(kind)))
    np.testing.assert_allclose(found[:, 0], library(tiny_pipeline(kind)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", PIPELINES)
def test_the_width_is_known_before_the_weights_are_loaded(kind: str) -> None:
    encoder = build(tiny_pipeline(kind))
    assert encoder.shape.dim == DIMS[kind]
    if kind != "static":
        assert encoder._loaded.is_empty


def test_a_pooling_over_layers_reads_all_layers_whatever_the_configuration_says(tmp_path: Path) -> None:
    directory = save_pipeline("layers", tmp_path / "p")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"output_hidden_states": False}))
    np.testing.assert_allclose(vectors(build(directory)), vectors(build(tiny_pipeline("layers"))), rtol=1e-4)


def test_a_prompt_stands_before_each_text_and_takes_part_as_the_pipeline_has_it(tmp_path: Path) -> None:
    directory = save_pipeline("dense", tmp_path / "p", prompts={"q": "query: "}, default_prompt_name="q")
    encoder = build(directory)
    np.testing.assert_allclose(vectors(encoder)[:, 0], library(directory), rtol=1e-4, atol=1e-5)
    assert "prefix: 'query: '" in encoder.choices
    without = vectors(build(directory, prefix=""))
    np.testing.assert_allclose(without, vectors(build(tiny_pipeline("dense"))), rtol=1e-4, atol=1e-5)
    plain = vectors(build(tiny_pipeline("dense"), prefix="query: "))
    np.testing.assert_allclose(plain, vectors(encoder), rtol=1e-4, atol=1e-5)


def test_normalize_scales_to_length_1() -> None:
    lengths = np.linalg.norm(vectors(build(tiny_pipeline("layers"), normalize=True)), axis=-1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_a_max_length_is_the_librarys_own_cut() -> None:
    encoder = build(tiny_pipeline("dense"), max_length=8)
    found = encoder.encode(["the dog " * 20, "a"], encoder.plan(2))
    again = build(tiny_pipeline("dense")).encode(["the dog the dog the dog"], encoder.plan(1))
    assert found.truncated.tolist() == [True, False]
    cut, whole = (np.asarray(one.embeddings)[0] for one in (found, again))
    np.testing.assert_allclose(cut, whole, rtol=1e-4, atol=1e-5)


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(UsageError, match="max_length: 9999 is more than the 96"):
        _ = build(tiny_pipeline("dense"), max_length=9999).identity


def test_texts_longer_than_the_max_length_exceed_it() -> None:
    encoder = build(tiny_pipeline("dense"))
    assert encoder.exceeds(["a", "rain " * 50]).tolist() == [False, True]
    assert encoder._loaded.is_empty
    assert MAX_LENGTH < 50


def test_a_text_that_looks_like_an_images_address_is_text(tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    texts = ("http://example.org/a.png", str(picture), "data:image/png;base64,AAAA")
    assert np.isfinite(vectors(build(tiny_pipeline("dense")), texts)).all()


def test_memory_that_runs_out_halves_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build(tiny_pipeline("dense"))
    plan = attrs.evolve(encoder.plan(5), batch_tokens=200, threads=1)
    expected = encoder.encode(list(TEXTS), plan).embeddings
    loaded = encoder._load(plan)
    views = loaded.views

    def short(ids: list[object]) -> torch.Tensor:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return views(ids)

    monkeypatch.setattr(loaded, "views", lambda ids, skip=0, budget=None: short(ids))
    found = encoder.encode(list(TEXTS), plan)
    np.testing.assert_allclose(np.asarray(found.embeddings), np.asarray(expected), rtol=1e-4, atol=1e-5)
    assert any("out of memory" in note for note in found.notes)


def test_a_text_that_does_not_fit_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build(tiny_pipeline("dense"))
    plan = attrs.evolve(encoder.plan(1), threads=1)

    def full(ids: list[object], skip: int = 0, budget: int | None = None) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(encoder._load(plan), "views", full)
    with pytest.raises(ResourceError, match="does not fit alone"):
        encoder.encode(["a"], plan)


def test_rows_that_are_not_finite_failed(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    directory = save_pipeline("dense", tmp_path / "p")
    path = next(directory.glob("*Dense/model.safetensors"))
    weights = load_file(path)
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in weights.items()}, path)
    encoder = build(directory)
    assert encoder.encode(["a", "b"], encoder.plan(2)).failed.tolist() == [True, True]


def test_an_encoder_is_sent_to_another_process_without_its_weights() -> None:
    encoder = build(tiny_pipeline("dense"))
    expected = vectors(encoder)
    again = pickle.loads(pickle.dumps(encoder))
    assert again._loaded.is_empty
    assert vectors(again).tobytes() == expected.tobytes()


def test_every_file_that_is_loaded_is_part_of_the_identity_and_no_other(tmp_path: Path) -> None:
    directory = save_pipeline("dense", tmp_path / "p")
    before = build(directory).identity
    (directory / "README.md").write_text("changed")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.safetensors").write_text("another format")
    assert build(directory).identity == before
    (directory / "2_Dense" / "config.json").write_text(
        (directory / "2_Dense" / "config.json").read_text() + "\n"
    )
    assert build(directory).identity["files"] != before["files"]


def test_a_plain_transformer_is_no_pipeline() -> None:
    with pytest.raises(UsageError, match=r'modules\.json.*adapter = "huggingface"'):
        _ = build(tiny_model("bert")).shape


def test_a_module_without_its_weights_is_corrupt(tmp_path: Path) -> None:
    directory = save_pipeline("dense", tmp_path / "p")
    (directory / "2_Dense" / "model.safetensors").unlink()
    with pytest.raises(CorruptArtifactError, match="no weights of the Dense"):
        _ = build(directory).identity


def test_weights_of_another_model_are_corrupt(tmp_path: Path) -> None:
    directory = save_pipeline("dense", tmp_path / "p")
    shutil.copy(directory / "model.safetensors", directory / "2_Dense" / "model.safetensors")
    encoder = build(directory)
    with pytest.raises(CorruptArtifactError, match="cannot be read"):
        encoder.encode(["a"], encoder.plan(1))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    encoder = build(tiny_pipeline("dense"))
    with pytest.raises(UsageError, match="extra `sentence`"):
        encoder.encode(["a"], encoder.plan(1))


def test_a_revision_of_a_directory_is_refused() -> None:
    with pytest.raises(UsageError, match="revision"):
        build(tiny_pipeline("dense"), revision="main")
