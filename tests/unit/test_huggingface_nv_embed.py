"""NV-Embed from a tiny checkpoint in the published layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from tiny_models import TEXTS, save_tiny, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.nv_embed import LatentAttention, latent_attention
from fusionapp.domain.errors import CorruptArtifactError, UsageError

LATENT = {
    "num_latents_value": 6,
    "num_cross_heads": 2,
    "hidden_dim": 32,
    "latent_dim": 32,
    "cross_dim_head": 16,
}


def save_nv_embed(directory: Path) -> Path:
    """The layout of nvidia/NV-Embed-v2: one safetensors file with two prefixes, and a configuration in parts."""
    save_tiny("mistral", directory)
    config = json.loads((directory / "config.json").read_text()) | {"sliding_window": None}
    state = {f"embedding_model.{name}": t for name, t in load_file(directory / "model.safetensors").items()}
    torch.manual_seed(7)
    for name, tensor in latent_attention(LATENT).state_dict().items():
        state[f"latent_attention_model.{name}"] = torch.randn_like(tensor) * 0.3
    save_file(state, directory / "model.safetensors")
    nv_embed = {
        "model_type": "nvembed",
        "auto_map": {"AutoModel": "modeling_nvembed.NVEmbedModel"},
        "text_config": config,
        "latent_attention_config": {"model_type": "latent_attention", **LATENT},
    }
    (directory / "config.json").write_text(json.dumps(nv_embed))
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_nv_embed(tmp_path_factory.mktemp("nv") / "model")


def build(model: Path, **settings: Any) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(str(model), dtype="float32", device="cpu", **settings)


def encode(encoder: HuggingFaceEncoder, *texts: str) -> NDArray[np.float32]:
    return np.asarray(encoder.encode(texts, encoder.plan(1)).embeddings)


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


def loops(layer: LatentAttention, states: NDArray[np.float64], heads: int) -> NDArray[np.float64]:
    """Latent attention of one text, head by head and token by token, as the paper describes it."""
    w = {name: tensor.double().numpy() for name, tensor in layer.state_dict().items()}

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return np.asarray(scaled * w[f"{name}.weight"] + w[f"{name}.bias"])

    attend, feed = "cross_attend_blocks.0", "cross_attend_blocks.1"
    query = norm(states, f"{attend}.norm") @ w[f"{attend}.fn.to_q.weight"].T
    context = norm(w["latents"], f"{attend}.norm_context") @ w[f"{attend}.fn.to_kv.weight"].T
    key, value = np.split(context, 2, axis=-1)
    size = query.shape[-1] // heads
    mixed = np.zeros_like(query)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for token in range(len(states)):
            raised = np.exp(key[:, part] @ query[token, part] / np.sqrt(size))
            mixed[token, part] = (raised / raised.sum()) @ value[:, part]
    states = states + mixed @ w[f"{attend}.fn.to_out.weight"].T
    wide = norm(states, f"{feed}.norm") @ w[f"{feed}.fn.net.0.weight"].T + w[f"{feed}.fn.net.0.bias"]
    inner, gate = np.split(wide, 2, axis=-1)
    erf = torch.erf(torch.from_numpy(gate / np.sqrt(2))).numpy()
    gated = inner * gate * 0.5 * (1 + erf)
    return np.asarray(states + gated @ w[f"{feed}.fn.net.2.weight"].T + w[f"{feed}.fn.net.2.bias"])


def test_latent_attention_is_what_plain_loops_compute() -> None:
    torch.manual_seed(0)
    layer = LatentAttention(hidden_dim=8, latent_dim=6, latents=5, heads=2, dim_head=4)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    states = torch.randn(3, 7, 8)

    found = layer(states).detach().numpy()

    for row in range(3):
        assert found[row] == pytest.approx(loops(layer, states[row].double().numpy(), 2), abs=1e-4)


def test_the_published_sizes_are_the_defaults() -> None:
    with torch.device("meta"):
        layer = latent_attention({})

    shapes = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    assert shapes["latents"] == (512, 4096)
    assert shapes["cross_attend_blocks.0.fn.to_q.weight"] == (8 * 4096, 4096)
    assert shapes["cross_attend_blocks.0.fn.to_kv.weight"] == (2 * 8 * 4096, 4096)
    assert shapes["cross_attend_blocks.0.norm_context.weight"] == (4096,)
    assert shapes["cross_attend_blocks.1.fn.net.0.weight"] == (2 * 4 * 4096, 4096)
    assert shapes["cross_attend_blocks.1.fn.net.2.weight"] == (4096, 4 * 4096)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_text_gives_the_same_vector_alone_and_in_a_batch(model: Path, side: str) -> None:
    encoder = build(model, padding_side=side, prefix="Instruct: find it\nQuery: ")

    together = encode(encoder, *TEXTS)

    alone = np.concatenate([encode(encoder, text) for text in TEXTS])
    assert encoder.shape.dim == 32
    assert relative_error(together, alone) <= 1e-5


@pytest.mark.parametrize("neighbours", [(), ("a much longer text that pads it, and pads it more",)])
def test_early_tokens_see_later_ones_with_and_without_padding(
    model: Path, neighbours: tuple[str, ...]
) -> None:
    """The leak test: the first token's state changes with the last word only where attention looks ahead."""
    encoder = build(model, pooling="cls")
    causal = HuggingFaceEncoder(str(tiny_model("mistral")), pooling="cls", dtype="float32", device="cpu")

    first, second = encode(encoder, "happy dog", *neighbours)[0], encode(encoder, "happy day", *neighbours)[0]
    still, unmoved = encode(causal, "happy dog", *neighbours)[0], encode(causal, "happy day", *neighbours)[0]

    assert relative_error(first, second) > 1e-3
    assert relative_error(still, unmoved) < 1e-6


def test_the_instruction_steers_the_text_but_takes_no_part_in_the_mean(model: Path) -> None:
    encoder = build(model, prefix="Instruct: happy day\nQuery: ")
    tokens = encoder._tokenizer(["a sad dog"]).ids[0]
    loaded = encoder._load(encoder.plan(1))
    kept = len(tokens) - encoder._tokenizer.prefix_length

    everything = loaded.views([tokens], 0).numpy()
    found = encode(encoder, "a sad dog")

    assert 0 < kept < len(tokens)
    assert relative_error(found, loaded.views([tokens], len(tokens) - kept).numpy()) <= 1e-6
    assert relative_error(found, everything) > 1e-3


def test_every_text_ends_in_the_closing_token(model: Path) -> None:
    from tokenizers import Tokenizer

    closing = Tokenizer.from_file(str(model / "tokenizer.json")).token_to_id("</s>")

    tokens = build(model, max_length=12)._tokenizer(["dog", "rain " * 99])

    assert [int(ids[-1]) for ids in tokens.ids] == [closing, closing]
    assert tokens.truncated.tolist() == [False, True]


def test_what_it_is_and_which_way_it_looks_is_in_the_identity(model: Path) -> None:
    identity = build(model).identity

    assert (identity["pooling"], identity["attention"]) == ("latent_attention", "bidirectional")


def test_other_layers_need_another_pooling(model: Path) -> None:
    with pytest.raises(UsageError, match="latent attention was trained on the last layer"):
        _ = build(model, layers=(-2, -1)).shape
    assert encode(build(model, layers=(-2, -1), pooling="mean"), "dog").shape == (1, 2, 32)


def test_weights_without_the_pooling_layer_are_refused(tmp_path: Path) -> None:
    directory = save_nv_embed(tmp_path / "model")
    state = load_file(directory / "model.safetensors")
    save_file(
        {name: t for name, t in state.items() if "latents" not in name}, directory / "model.safetensors"
    )

    with pytest.raises(CorruptArtifactError, match="not the weights of an NV-Embed model"):
        encode(build(directory), "dog")
