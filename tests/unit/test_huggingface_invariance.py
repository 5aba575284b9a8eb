"""A text's vector depends on nothing but the text: for every architecture, pooling and padding side."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import KINDS, LAYERS, TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder

POOLINGS = ("mean", "cls", "last")
PACKED_KINDS = frozenset(
    {
        "bert",
        "roberta",
        "xlm_roberta",
        "camembert",
        "electra",
        "llama",
        "falcon3",
        "mistral",
        "qwen2",
        "qwen3",
    }
)
EVERY_STATE = tuple(range(LAYERS + 1))


def build(kind: str, **settings: Any) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(
        str(tiny_model(kind)), layers=EVERY_STATE, dtype="float32", device="cpu", **settings
    )


def encode(
    encoder: HuggingFaceEncoder, texts: tuple[str, ...], attention: str | None = None
) -> NDArray[np.float32]:
    plan = encoder.plan(len(texts))
    return np.asarray(
        encoder.encode(texts, attrs.evolve(plan, attention=attention or plan.attention)).embeddings
    )


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


def padded(kind: str) -> str:
    """The path of padded batches."""
    return "eager" if kind in ("gemma2", "mpnet") else "sdpa"


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def reference(kind: str) -> dict[str, NDArray[np.float32]]:
    """Hidden states by transformers itself, a text at a time without padding, pooled by hand."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    directory = tiny_model(kind)
    model = AutoModel.from_pretrained(directory, attn_implementation=padded(kind)).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(directory)
    pooled: dict[str, list[NDArray[np.float32]]] = {pooling: [] for pooling in POOLINGS}
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = model(input_ids=ids, output_hidden_states=True).hidden_states
        pooled["mean"].append(np.stack([state[0].mean(0).numpy() for state in states]))
        pooled["cls"].append(np.stack([state[0, 0].numpy() for state in states]))
        pooled["last"].append(np.stack([state[0, -1].numpy() for state in states]))
    return {pooling: np.stack(rows) for pooling, rows in pooled.items()}


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_path_that_is_chosen_gives_what_transformers_gives_for_each_text_alone(
    kind: str, pooling: str, reference: dict[str, NDArray[np.float32]]
) -> None:
    found = encode(build(kind, pooling=pooling), TEXTS)

    assert relative_error(found, reference[pooling]) <= 1e-5


def test_the_families_whose_attention_a_test_proves_exact_are_packed(kind: str) -> None:
    plan = build(kind).plan(1)

    assert (plan.attention == "packed") == (kind in PACKED_KINDS)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_padded_batch_gives_what_transformers_gives_for_each_text_alone(
    kind: str, pooling: str, side: str, reference: dict[str, NDArray[np.float32]]
) -> None:
    found = encode(build(kind, pooling=pooling, padding_side=side), TEXTS, padded(kind))

    assert relative_error(found, reference[pooling]) <= 1e-5


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_long_neighbour_that_pads_a_text_does_not_move_it(kind: str, side: str) -> None:
    encoder = build(kind, pooling="mean", padding_side=side)

    beside_a_long_text = encode(encoder, ("a sad day", "the rain never stopped, and " * 3), padded(kind))[0]

    assert relative_error(beside_a_long_text, encode(encoder, ("a sad day",))[0]) <= 1e-5


def test_one_pass_over_several_layers_gives_what_single_passes_give(kind: str) -> None:
    together = encode(build(kind, pooling="mean"), TEXTS)

    for layer in (0, LAYERS):
        one = HuggingFaceEncoder(
            str(tiny_model(kind)), layers=(layer,), pooling="mean", dtype="float32", device="cpu"
        )
        assert relative_error(encode(one, TEXTS)[:, 0], together[:, layer]) <= 1e-6


def test_normalising_scales_every_layer_to_length_one(kind: str) -> None:
    found = encode(build(kind, pooling="mean", normalize=True), TEXTS)

    assert np.linalg.norm(found, axis=-1) == pytest.approx(1.0, abs=1e-5)
