"""examples/sweep.toml: every pair of LLM embeddings, fused in every way, on three datasets."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from random import Random

import datasets
import pytest
from command_line import call
from tiny_models import save_tiny

from fusionapp.domain.catalogue import find_card
from fusionapp.entrypoints.experiment.encoder_tables import HuggingFaceSettings
from fusionapp.entrypoints.sweep.cells import Cell
from fusionapp.entrypoints.sweep.expansion import load_sweep

FILE = Path(__file__).parents[2] / "examples" / "sweep.toml"
MODELS = ("gemma", "qwen", "llama", "falcon", "mistral", "nv_embed", "e5")
FUSIONS = {"concat", "sum", "hadamard", "matmul", "quaternion", "moe", "all_features"}
RESIDUAL = {"sum residual", "hadamard residual", "matmul residual", "quaternion residual"}


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    return [cell for cell in load_sweep(FILE).cells if cell.role == "cell"]


def test_every_pair_meets_every_fusion_on_every_dataset(cells: list[Cell]) -> None:
    expected = {
        (dataset, pair, fusion)
        for dataset in ("r8", "r52", "mr")
        for pair in combinations(MODELS, 2)
        for fusion in FUSIONS | RESIDUAL
    }
    assert {(cell.dataset, cell.encoders, cell.fusion) for cell in cells} == expected
    assert len(cells) == len(expected)


def test_its_models_are_those_of_the_catalogue(cells: list[Cell]) -> None:
    for cell in cells:
        for settings in cell.experiment.encoders.values():
            assert isinstance(settings, HuggingFaceSettings)
            assert find_card(settings.model) is not None


@pytest.mark.slow
def test_it_runs_on_tiny_models_of_the_same_architectures(tmp_path: Path) -> None:
    random = Random(0)
    labels = [row % 3 for row in range(48)]
    texts = [f"{('sad', 'happy', 'quick')[label]} {random.random()}" for label in labels]
    split = datasets.Dataset.from_dict({"text": texts, "label": labels})
    datasets.DatasetDict({"train": split, "test": split}).save_to_disk(str(tmp_path / "r8"))
    words = ["sweep.encoders=[['gemma', 'mistral']]", 'sweep.datasets={r8 = {name = "r8"}}', "train.seeds=2"]
    words += ["train.epochs=1", "train.hidden_dims=[8]", "fusion.product_dim=64", "fusion.expert_dim=8"]
    words += ["train.linear_path=none", "evaluate.draws=100", "evaluate.costs=[1.0]"]
    for name, kind in {"gemma": "gemma2", "mistral": "mistral"}.items():
        words.append(f"encoders.{name}.model={save_tiny(kind, tmp_path / name)}")
    sets = [word for value in words for word in ("--set", value)]
    board = call(tmp_path, "sweep", FILE, "--json", *sets).json
    assert board["failed"] == 0
    assert {cell["fusion"] for cell in board["cells"]} == FUSIONS | RESIDUAL | {"linear_svm"}
    assert (tmp_path / "runs/pairs/r8-gemma-mistral-quaternion-residual/models/seed-1").is_dir()
