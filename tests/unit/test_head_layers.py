"""Stacked layers compute what one layer per seed computes, and draw what each seed draws alone."""

from __future__ import annotations

import pytest
import torch

from fusionapp.adapters.torch_heads.layers import StackedLinear, StackedMLP
from fusionapp.adapters.torch_shared.seed_dropout import SeedDropout
from fusionapp.adapters.torch_shared.streams import seed_stream, seed_streams


def linear(seeds: list[int], in_dim: int = 6, out_dim: int = 4) -> StackedLinear:
    layer = StackedLinear(len(seeds), in_dim, out_dim)
    layer.draw(seed_streams(seeds, "weights"))
    return layer


def test_a_stacked_linear_layer_is_one_linear_layer_per_seed() -> None:
    layer, x = linear([0, 1, 2]), torch.randn(3, 5, 6)
    alone = [torch.nn.functional.linear(x[s], layer.weight[s].mT, layer.bias[s, 0]) for s in range(3)]
    torch.testing.assert_close(layer(x), torch.stack(alone))


def test_a_seed_draws_the_same_weights_alone_as_in_a_stack() -> None:
    torch.testing.assert_close(linear([4, 9, 2]).weight[1], linear([9]).weight[0], rtol=0, atol=0)


def test_weights_are_drawn_within_the_bound_of_torchs_linear() -> None:
    layer = linear([0], in_dim=100, out_dim=200)
    assert layer.weight.abs().max() <= 0.1
    assert layer.weight.std().item() == pytest.approx(0.1 / 3**0.5, rel=0.05)


def test_training_in_bfloat16_stays_near_float32_and_evaluation_is_float32() -> None:
    layer, x = linear([0]), torch.randn(1, 5, 6)
    exact = layer.eval()(x)
    layer.train_dtype = torch.bfloat16
    torch.testing.assert_close(layer.eval()(x), exact, rtol=0, atol=0)
    rounded = layer.train()(x)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)


def test_purposes_and_seeds_have_streams_of_their_own() -> None:
    drawn = {
        torch.rand(4, generator=seed_stream(seed, purpose)).sum().item()
        for seed in (0, 1, -1)
        for purpose in ("weights", "order", "dropout")
    }
    assert len(drawn) == 9


def dropped(seeds: list[int], rate: float = 0.3, shape: tuple[int, ...] = (50, 41)) -> torch.Tensor:
    layer = SeedDropout(rate)
    layer.streams = seed_streams(seeds, "dropout")
    out: torch.Tensor = layer(torch.ones(len(seeds), *shape))
    return out


def test_dropout_drops_the_rate_and_keeps_the_mean() -> None:
    out = dropped([0], rate=0.3, shape=(1000, 99))
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert out.mean().item() == pytest.approx(1.0, abs=0.01)


def test_every_byte_of_a_draw_drops_alike() -> None:
    out = dropped([0], rate=0.5, shape=(10_000, 8))
    torch.testing.assert_close((out[0] == 0).float().mean(0), torch.full((8,), 0.5), atol=0.03, rtol=0)


def test_a_seed_drops_the_same_alone_as_in_a_stack() -> None:
    torch.testing.assert_close(dropped([4, 9, 2])[1], dropped([9])[0])
    assert not torch.equal(dropped([4])[0], dropped([9])[0])


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero() -> None:
    x = torch.randn(2, 3)
    assert SeedDropout(0.5).eval()(x) is x
    assert SeedDropout(0.0)(x) is x


def test_dropout_near_one_still_keeps_something_in_the_mean() -> None:
    assert torch.isfinite(dropped([0], rate=0.999)).all()


def test_an_mlp_without_hidden_layers_is_one_linear_layer() -> None:
    mlp = StackedMLP(2, 6, (), 3)
    mlp.final.draw(seed_streams([0, 1], "weights"))
    x = torch.randn(2, 5, 6)
    torch.testing.assert_close(mlp(x), mlp.final(x))
