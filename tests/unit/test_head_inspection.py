"""What the torch inspector sees inside each fusion, against the same numbers worked out row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.heads import CountingProgress, only, toy_rows
from fakes.tracker import RecordingTracker
from numpy.typing import NDArray
from scipy.special import softmax

from fusionapp.adapters.torch_heads.artefact import SavedHead, load_head
from fusionapp.adapters.torch_heads.inspection import TorchHeadInspector
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.head_inspector import Part
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

RECIPE = TrainingRecipe(hidden_dims=(8,), epochs=3, batch_size=32, learning_rate=0.01, device="cpu")
ROWS = toy_rows(20, seed=2)
INSPECTOR = TorchHeadInspector("cpu", batch_rows=8)
Floats = NDArray[np.float64]


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., list[str]]:
    """Trains two tiny heads of a fusion."""

    def train(spec: FusionSpec, *names: str, train: LabelledEmbeddings | None = None) -> list[str]:
        rows = train or toy_rows(60)
        chosen = only(rows, *(names or rows.sources))
        directories = [str(tmp_path / f"{spec.kind}-{seed}") for seed in (3, 5)]
        TorchHeadTrainer("float32").train(
            spec, RECIPE, (3, 5), 3, chosen, chosen, directories, RecordingTracker(), CountingProgress()
        )
        return directories

    return train


def entered(head: SavedHead) -> list[Floats]:
    """Each source as it enters the fusion: (rows, layers, dim)."""
    found = []
    for position, source in enumerate(head.sources):
        raw: Any = ROWS.sources[source.card.name]
        if source.weighting is not None:
            table = head.state[f"bags.{position}.table"].numpy()
            found.append((source.weighting.transform(raw) @ table)[:, None])
            continue
        if source.card.recipe.normalize == "none":  # as LLMEmbed's co-occurrence wants it
            found.append(np.asarray(raw, dtype=np.float64))
            continue
        lengths = np.linalg.norm(raw, axis=-1, keepdims=True)
        found.append(raw / np.where(lengths, lengths, np.inf) * source.card.dim**0.5)
    return found


def linear(head: SavedHead, name: str, x: Floats) -> Floats:
    weight, bias = (head.state[f"{name}.{part}"].numpy() for part in ("weight", "bias"))
    return np.asarray(x @ weight + bias)


def flat(head: SavedHead) -> list[Floats]:
    return [x.reshape(len(x), -1) for x in entered(head)]


def projected(head: SavedHead, name: str) -> list[Floats]:
    return [
        linear(head, f"fusion.{name}.each.{i}", x) if f"fusion.{name}.each.{i}.weight" in head.state else x
        for i, x in enumerate(flat(head))
    ]


def unit(x: Floats) -> Floats:
    length = np.linalg.norm(x)
    return x / length if length else x


def test_gates_are_the_mean_over_dimensions_of_the_weights_of_sources(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="gated", dim=4, bag_width=8))
    found = INSPECTOR.weights(heads, ROWS.sources)
    assert found is not None
    assert found.parts == (Part("deep"), Part("flat"), Part("words"))
    for head, weights in zip(map(load_head, heads), found.weights, strict=True):
        gates = linear(head, "fusion.gate", np.concatenate(flat(head), axis=1))
        for row, gate in zip(weights, gates, strict=True):
            expected = softmax(gate.reshape(3, 4), axis=0).mean(axis=1)
            np.testing.assert_allclose(row, expected, atol=1e-5)


def test_experts_are_weighed_by_the_softmax_of_their_gate(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="moe", experts=3, expert_dim=4, bag_width=8))
    found = INSPECTOR.weights(heads, ROWS.sources)
    assert found is not None
    assert [part.name for part in found.parts] == ["expert 1", "expert 2", "expert 3"]
    for head, weights in zip(map(load_head, heads), found.weights, strict=True):
        x = np.concatenate(flat(head), axis=1)
        for hidden in range(2):
            x = np.maximum(linear(head, f"fusion.gate.hidden.{hidden}", x), 0)
        np.testing.assert_allclose(weights, softmax(linear(head, "fusion.gate.final", x), axis=1), atol=1e-5)


def test_attention_weighs_every_view_by_the_mean_over_its_heads(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="attention", dim=8, heads=2, bag_width=8))
    found = INSPECTOR.weights(heads, ROWS.sources)
    assert found is not None
    deep = [Part("deep", layer) for layer in range(3)]
    assert found.parts == (*deep, Part("flat"), Part("words"))
    for head, weights in zip(map(load_head, heads), found.weights, strict=True):
        views = [linear(head, f"fusion.project.{i}", x) for i, x in enumerate(entered(head))]
        x = np.concatenate(views, axis=1) + head.state["fusion.place"].numpy()
        keys = linear(head, "fusion.key", x)
        query = head.state["fusion.query"].numpy().reshape(2, 4)
        for row, key in zip(weights, keys, strict=True):
            shares = [softmax(key[:, 4 * h : 4 * h + 4] @ query[h] / 2) for h in range(2)]
            np.testing.assert_allclose(row, np.mean(shares, axis=0), atol=1e-5)


def test_late_fusion_weighs_sources_the_same_in_every_row(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="late", bag_width=8))
    found = INSPECTOR.weights(heads, ROWS.sources)
    assert found is not None
    for head, weights in zip(map(load_head, heads), found.weights, strict=True):
        expected = softmax(head.state["late.weight_logits"].numpy())
        np.testing.assert_allclose(weights, np.broadcast_to(expected, (20, 3)), atol=1e-6)


def test_the_length_of_a_product_is_that_before_it_is_normalised(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="hadamard", dim=8, bag_width=8))
    found = INSPECTOR.interactions(heads, ROWS.sources)
    assert [one.name for one in found] == ["hadamard with flat", "hadamard with words"]
    for position, head in enumerate(map(load_head, heads)):
        for row, (a, b, c) in enumerate(zip(*projected(head, "project"), strict=True)):
            first = unit(a) * unit(b)
            second = unit(first) * unit(c)
            assert found[0].values[position, row] == pytest.approx(np.linalg.norm(first), abs=1e-5)
            assert found[1].values[position, row] == pytest.approx(np.linalg.norm(second), abs=1e-5)


def test_all_features_has_the_lengths_of_its_three_products(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="all_features", dim=8, product_dim=16, bag_width=8), "deep", "flat")
    found = INSPECTOR.interactions(heads, ROWS.sources)
    assert [one.name for one in found] == ["quaternion with flat", "matmul with flat", "hadamard with flat"]
    for position, head in enumerate(map(load_head, heads)):
        for row, (a, b) in enumerate(zip(*projected(head, "project_products"), strict=True)):
            product = unit(a).reshape(4, 4) @ unit(b).reshape(4, 4)
            assert found[1].values[position, row] == pytest.approx(np.linalg.norm(product), abs=1e-5)


@pytest.mark.parametrize("normalize", [True, False])
def test_saturation_is_the_share_of_flat_cells_over_all_rows(
    fit: Callable[..., list[str]], normalize: bool
) -> None:
    spec = FusionSpec(kind="cooccurrence", normalize=normalize, power="paper", dim=12)
    heads = fit(spec, "deep")
    (found,) = INSPECTOR.interactions(heads, ROWS.sources)
    assert (found.name, found.quantity, found.values.shape) == ("co-occurrence", "saturated", (2, 1))
    for position, head in enumerate(map(load_head, heads)):
        flat_cells = total = 0
        for views in entered(head)[0]:
            for one in views:
                for other in views:
                    cell = unit(one) @ unit(other) if normalize else one @ other
                    flat_cells += abs(np.tanh(2 * cell)) > 0.99
                    total += 1
        assert found.values[position, 0] == pytest.approx(flat_cells / total)


def test_cells_that_nothing_squashes_cannot_saturate(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(kind="cooccurrence", power="none"), "deep")
    assert INSPECTOR.interactions(heads, ROWS.sources) == []


def matrices(left: Floats, right: Floats) -> Floats:
    """numpy's product of two 4 x 4 matrices."""
    return (left.reshape(4, 4) @ right.reshape(4, 4)).ravel()


def quaternions(left: Floats, right: Floats) -> Floats:
    """Quaternion i of the one times quaternion i of the other, as complex 2 x 2 matrices (Cayley)."""

    def as_matrices(blocks: Floats) -> NDArray[np.complex128]:
        a, b, c, d = blocks.reshape(4, 4)
        return np.array([[a + 1j * b, c + 1j * d], [-c + 1j * d, a - 1j * b]])

    (first, second), _ = np.einsum("ijn,jkn->ikn", as_matrices(left), as_matrices(right))
    return np.concatenate([first.real, first.imag, second.real, second.imag])


@pytest.mark.parametrize(
    ("kind", "product"),
    [("matmul", matrices), ("quaternion", quaternions), ("low_rank", np.multiply)],
)
def test_every_product_has_the_length_of_the_same_by_numpy(
    fit: Callable[..., list[str]], kind: Any, product: Callable[[Floats, Floats], Floats]
) -> None:
    heads = fit(FusionSpec(kind=kind, product_dim=16, rank=8, bag_width=8))
    found = INSPECTOR.interactions(heads, ROWS.sources)
    assert [one.name for one in found] == [f"{kind} with flat", f"{kind} with words"]
    for position, head in enumerate(map(load_head, heads)):
        for row, (a, b, c) in enumerate(zip(*projected(head, "project"), strict=True)):
            first = product(unit(a), unit(b))
            second = product(unit(first), unit(c))
            assert found[0].values[position, row] == pytest.approx(np.linalg.norm(first), abs=1e-5)
            assert found[1].values[position, row] == pytest.approx(np.linalg.norm(second), abs=1e-5)


def test_a_concatenation_has_neither_weights_nor_products(fit: Callable[..., list[str]]) -> None:
    heads = fit(FusionSpec(bag_width=8))
    assert INSPECTOR.weights(heads, ROWS.sources) is None
    assert INSPECTOR.interactions(heads, ROWS.sources) == []


def test_one_source_alone_makes_no_product(fit: Callable[..., list[str]]) -> None:
    assert INSPECTOR.interactions(fit(FusionSpec(kind="hadamard", dim=8), "words"), ROWS.sources) == []


def test_heads_of_different_fusions_are_not_mixed_up(fit: Callable[..., list[str]]) -> None:
    heads = [fit(FusionSpec(kind="gated", bag_width=8))[0], fit(FusionSpec(bag_width=8))[0]]
    with pytest.raises(UsageError, match="different fusions"):
        INSPECTOR.weights(heads, ROWS.sources)
