"""Which weights each method of fine-tuning trains."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from tiny_models import LAYERS
from torch import Tensor
from tuning import loss, opened, train

from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.domain.errors import UsageError

pytest.importorskip("peft", reason="the extra `tune` is not installed")

WAYS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "last_layers": {"method": "last_layers", "num_layers": 1},
    "bitfit": {"method": "bitfit"},
    "lora": {"method": "lora", "rank": 4},
    "rslora": {"method": "lora", "rank": 4, "rslora": True},
    "dora": {"method": "lora", "rank": 4, "dora": True},
    "qlora": {"method": "qlora", "rank": 4},
    "qlora_fp4": {"method": "qlora", "rank": 4, "bnb_4bit_quant_type": "fp4"},
    "qdora": {"method": "qlora", "rank": 4, "dora": True},
}

FAMILIES = ("bert", "roberta", "mpnet", "distilbert", "modernbert", "llama", "qwen2", "qwen3", "mistral")

LINEAR = {
    "bert": 6,
    "roberta": 6,
    "mpnet": 6,
    "distilbert": 6,
    "modernbert": 4,
    "llama": 7,
    "qwen2": 7,
    "qwen3": 7,
    "mistral": 7,
}
"""Linear layers in a transformer layer, counted by hand: projections of attention and of the feed-forward part."""


def tensors(encoder: TrainableEncoder) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in encoder.named_parameters()}


def changed(encoder: TrainableEncoder, before: dict[str, Tensor]) -> set[str]:
    return {name for name, each in encoder.named_parameters() if not torch.equal(each, before[name])}


def trained(encoder: TrainableEncoder) -> set[str]:
    return {name for name, each in encoder.named_parameters() if each.requires_grad}


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("way", WAYS)
def test_training_lowers_the_loss_and_moves_what_is_trained_and_nothing_else(way: str, kind: str) -> None:
    encoder = opened(kind, dropout=0.0, **WAYS[way])
    before = tensors(encoder)

    losses = train(encoder)

    assert losses[-1] < losses[0]
    assert changed(encoder, before) == trained(encoder)


@pytest.mark.parametrize("kind", FAMILIES)
def test_auto_adapts_every_linear_layer_within_the_layers(kind: str) -> None:
    encoder = opened(kind, "lora")
    assert len(encoder.adapted) == LAYERS * LINEAR[kind]
    assert not [name for name in encoder.adapted if "pooler" in name or "embed" in name]
    assert len(trained(encoder)) == 2 * len(encoder.adapted)
    assert all("lora_" in name for name in trained(encoder))


@pytest.mark.parametrize("kind", FAMILIES)
def test_full_trains_all_but_the_pooler(kind: str) -> None:
    encoder = opened(kind)
    left_out = {name for name, _ in encoder.named_parameters()} - trained(encoder)
    assert all("pooler" in name for name in left_out)
    assert bool(left_out) == (kind in ("bert", "roberta", "mpnet"))


@pytest.mark.parametrize(("kind", "norm"), [("qwen2", "norm"), ("modernbert", "final_norm"), ("bert", None)])
def test_last_layers_trains_them_and_the_norm_that_follows(kind: str, norm: str | None) -> None:
    names = trained(opened(kind, "last_layers", num_layers=2))
    layers = {int(found[1]) for name in names if (found := re.search(r"layers?\.(\d+)\.", name))}
    assert layers == {1, 2}
    rest = {name for name in names if not re.search(r"layers?\.\d+\.", name)}
    assert rest == ({f"body.{norm}.weight"} if norm else set())


def test_more_last_layers_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match=r"num_layers: 4 is more than the 3 layers .* \"full\""):
        opened("bert", "last_layers", num_layers=4)


def test_bitfit_trains_bias_vectors_alone() -> None:
    names = trained(opened("qwen2", "bitfit"))
    assert {name.rpartition("self_attn.")[2] for name in names} == {
        "q_proj.bias",
        "k_proj.bias",
        "v_proj.bias",
    }


@pytest.mark.parametrize("kind", ["qwen3", "llama", "modernbert"])
def test_bitfit_without_biases_is_refused_and_names_lora(kind: str) -> None:
    with pytest.raises(UsageError, match=r'no bias vectors, .* use method = "lora"'):
        opened(kind, "bitfit")


def test_named_modules_alone_are_adapted() -> None:
    encoder = opened("bert", "lora", target_modules=("query", "encoder.layer.1.output.dense"))
    assert set(encoder.adapted) == {
        *(f"encoder.layer.{layer}.attention.self.query" for layer in range(LAYERS)),
        "encoder.layer.1.output.dense",
    }


@pytest.mark.parametrize("name", ["q_proj", "pooler", "pooler.dense", "LayerNorm"])
def test_a_name_that_no_layer_has_is_refused_with_those_that_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=f"'{name}' is no linear layer .* query, key, value, dense"):
        opened("bert", "lora", target_modules=("query", name))


def test_no_name_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="names no layer"):
        opened("bert", "lora", target_modules=())


@pytest.mark.parametrize(("rslora", "scale"), [(False, 32 / 16), (True, 32 / 4)])
def test_the_scale_is_alpha_over_rank_or_over_its_root(rslora: bool, scale: float) -> None:
    encoder = opened("bert", "lora", rank=16, alpha=32.0, rslora=rslora)
    adapted: list[Any] = [module for module in encoder.modules() if hasattr(module, "lora_A")]
    scales = {module.scaling["default"] for module in adapted}
    assert scales == {scale}


def test_adapters_are_float32_and_start_from_the_seed() -> None:
    first, same, other = (opened("qwen2", "qlora", {"seed": seed}).trained_state() for seed in (0, 0, 1))
    assert {each.dtype for each in first.values()} == {torch.float32}
    assert all(torch.equal(each, same[name]) for name, each in first.items())
    assert any(not torch.equal(each, other[name]) for name, each in first.items())


def test_adding_adapters_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    opened("bert", "lora")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_an_adapted_encoder_starts_as_the_encoder_it_adapts() -> None:
    whole, adapted = (loss(opened("bert", method)).item() for method in ("full", "lora"))
    # LoRA's own dropout acts on what B = 0 multiplies.
    assert adapted == pytest.approx(whole, abs=1e-6)


def test_qlora_holds_linear_layers_in_4_bits_and_norms_in_float32() -> None:
    encoder = opened("qwen2", "qlora")
    held = {name: each for name, each in encoder.named_parameters() if not each.requires_grad}
    packed = {name for name, each in held.items() if each.dtype is torch.uint8}
    assert packed == {f"body.base_model.model.{name}.base_layer.weight" for name in encoder.adapted}
    assert {each.dtype for name, each in held.items() if name not in packed} == {torch.float32}
    states = [each.quant_state for name, each in held.items() if name in packed]  # type: ignore[attr-defined]
    assert all(state.nested and state.quant_type == "nf4" for state in states)


def test_4_bit_weights_are_multiplied_in_what_the_trainer_computes_in() -> None:
    found = [
        {module.compute_dtype for module in encoder.modules() if hasattr(module, "compute_dtype")}
        for encoder in (
            opened("qwen2", "qlora", {"dtype": "bfloat16"}),
            opened("qwen2", "qlora", {"dtype": "bfloat16"}, bnb_4bit_compute_dtype="float32"),
        )
    ]
    assert found == [{torch.bfloat16}, {torch.float32}]


def test_evaluating_leaves_4_bit_weights_as_they_are() -> None:
    encoder = opened("qwen2", "qlora")
    before = tensors(encoder)
    value = loss(encoder.eval())
    with torch.no_grad():
        assert loss(encoder).item() == pytest.approx(value.item(), abs=1e-6)
    assert not changed(encoder, before)
    states = [each.quant_state for each in encoder.parameters() if hasattr(each, "quant_state")]
    assert all(state.nested and not getattr(state, "packing_format_for_cpu", False) for state in states)


def test_qlora_without_4_bits_is_refused_and_names_lora() -> None:
    with pytest.raises(UsageError, match=r'load_in_4bit: .* set method = "lora"'):
        opened("qwen2", "qlora", load_in_4bit=False)


def test_keeping_the_adapter_of_a_method_without_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"finetuning.save: 'full' .* no adapter"):
        opened("bert", "full", save="adapter")


def test_matrices_are_those_of_the_layers() -> None:
    groups = opened("qwen2").trained()
    assert all(each.ndim == 2 for each in groups.matrices.values())
    assert [name for name, each in groups.others.items() if each.ndim == 2] == ["body.embed_tokens.weight"]
    assert len(list(groups)) == len(groups.matrices) + len(groups.others)
