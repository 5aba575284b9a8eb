"""What is found out before the first step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import DIM, LAYERS, tiny_model
from tuning import opened
from tuning_pairs import recipe

from fusionapp.adapters.huggingface.tuning import preflight
from fusionapp.adapters.huggingface.tuning.preflight import check_encoder
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.tuner import HuggingFaceTuner
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import Method

FAMILIES = (
    "bert",
    "roberta",
    "mpnet",
    "distilbert",
    "modernbert",
    "llama",
    "qwen2",
    "qwen3",
    "mistral",
    "falcon",
)


def test_numbers_are_counted() -> None:
    encoder = opened("bert", "lora", rank=4)
    found = check_encoder(encoder, 10)
    # Attention's four projections and the two of the feed-forward part, whose inner width is 64.
    assert found.trainable == LAYERS * 4 * (4 * (DIM + DIM) + 2 * (DIM + 64))
    assert found.parameters == sum(each.numel() for each in encoder.parameters())
    assert found.dtypes == {"float32": found.parameters}
    assert (found.method, found.learning_rate) == ("lora", 2e-4)
    assert found.adapted == encoder.adapted


def test_numbers_in_4_bits_are_counted_one_by_one() -> None:
    whole, packed = (check_encoder(opened("qwen2", method), 10) for method in ("lora", "qlora"))
    assert packed.parameters == whole.parameters
    assert packed.trainable == whole.trainable
    assert packed.dtypes["4-bit"] == sum(
        sizes for sizes in [LAYERS * (2 * DIM * DIM + 2 * DIM * DIM // 2 + 3 * DIM * 64)]
    )
    assert sum(packed.dtypes.values()) == packed.parameters


def test_a_learning_rate_that_is_given_is_the_one_reported() -> None:
    assert check_encoder(opened("bert"), 10, 1e-3).learning_rate == 1e-3
    assert check_encoder(opened("bert"), 10).learning_rate == 3e-5


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("method", ["full", "last_layers", "lora"])
def test_a_gradient_arrives_at_every_tensor(kind: str, method: Method) -> None:
    check_encoder(opened(kind, method), 10)


@pytest.mark.parametrize("way", [{"dora": True}, {"rslora": True}])
def test_every_kind_of_adapter_learns(way: dict[str, Any]) -> None:
    check_encoder(opened("qwen2", "lora", {"activation_checkpointing": True}, **way), 10)


def test_an_adapter_on_what_is_not_used_is_refused() -> None:
    body: Any = (encoder := opened("bert")).body
    body.pooler.dense.weight.requires_grad_(True)
    with pytest.raises(UsageError, match=r"1 of \d+ .* gradient of body.pooler.dense.weight never arrives"):
        check_encoder(encoder, 10)


def test_a_gradient_that_is_zero_everywhere_is_refused() -> None:
    encoder = opened("bert", "last_layers", num_layers=1)
    body: Any = encoder.body
    with torch.no_grad():
        body.encoder.layer[-1].output.dense.weight.zero_()
    with pytest.raises(UsageError, match=r"intermediate.dense.weight is zero everywhere"):
        check_encoder(encoder, 10)


def test_a_keys_bias_may_have_no_gradient_as_softmax_ignores_it() -> None:
    encoder = opened("bert", "bitfit")
    body: Any = encoder.body
    with torch.no_grad():
        for layer in body.encoder.layer:
            layer.attention.self.query.weight.zero_()
            layer.attention.self.query.bias.zero_()
    check_encoder(encoder, 10)


def test_a_gradient_that_is_not_finite_is_refused() -> None:
    encoder = opened("bert")
    body: Any = encoder.body
    with torch.no_grad():
        body.embeddings.word_embeddings.weight.fill_(torch.inf)
    with pytest.raises(UsageError, match="is not finite"):
        check_encoder(encoder, 10)


def test_a_method_that_trains_nothing_is_refused() -> None:
    encoder = opened("bert")
    encoder.requires_grad_(False)
    with pytest.raises(UsageError, match="'full' would train nothing"):
        check_encoder(encoder, 10)


@pytest.mark.parametrize("fails", [False, True])
def test_the_encoder_is_left_as_it_was(fails: bool) -> None:
    encoder = opened("qwen2", "lora").eval()
    if fails:
        next(each for each in encoder.parameters() if not each.requires_grad).requires_grad_(True)
        body: Any = encoder.body
        body.base_model.model.embed_tokens.weight.data.fill_(torch.nan)
    names = [name for name, each in encoder.named_parameters() if each.requires_grad]
    parameters = dict(encoder.named_parameters())
    parameters[names[0]].grad = torch.ones_like(parameters[names[0]])
    before, random = encoder.trained_state(), torch.random.get_rng_state()

    if fails:
        with pytest.raises(UsageError):
            check_encoder(encoder, 10)
    else:
        check_encoder(encoder, 10)

    after = encoder.trained_state()
    assert all(torch.equal(torch.nan_to_num(before[name]), torch.nan_to_num(after[name])) for name in names)
    gradient = parameters[names[0]].grad
    assert gradient is not None
    assert bool((gradient == 1).all())
    assert all(parameters[name].grad is None for name in names[1:])
    assert not encoder.training
    assert torch.equal(torch.random.get_rng_state(), random)


def test_training_every_weight_on_few_pairs_is_advised_against() -> None:
    encoder = opened("bert")
    assert "lora or last_layers" in check_encoder(encoder, 99_999).advice[0]
    assert check_encoder(encoder, 100_000).advice == ()


def test_qlora_on_a_small_model_gains_nothing() -> None:
    assert "qlora gains nothing" in check_encoder(opened("qwen2", "qlora"), 10).advice[0]
    assert not check_encoder(opened("qwen2", "lora"), 10).advice


def test_a_large_model_is_pointed_to_qlora(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "_LARGE", 1000)
    assert "qlora holds the frozen" in check_encoder(opened("qwen2", "lora"), 10).advice[0]


def test_a_rank_as_wide_as_the_model_is_pointed_out() -> None:
    assert f"rank {DIM} is not below" in check_encoder(opened("qwen2", "lora", rank=DIM), 10).advice[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"matryoshka_dims": (DIM + 1,)}, f"matryoshka_dims: {DIM + 1} is more than the {DIM} numbers"),
        ({"learn_temperature": True, "temperature": 2.0}, "temperature: .* cannot begin at 2"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_the_first_step(
    changes: dict[str, Any], said: str
) -> None:
    tuner = HuggingFaceTuner(EncoderSettings(str(tiny_model("bert"))))
    with pytest.raises(UsageError, match=said):
        tuner.preflight(recipe(**changes), 10)
