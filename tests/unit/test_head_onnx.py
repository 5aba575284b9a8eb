"""Exported heads say what the scorer says, in a runtime that knows nothing of this program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import attrs
import numpy as np
import onnx
import onnxruntime
import pytest
from command_line import untouched_logging
from fakes.heads import CountingProgress, only, toy_rows
from fakes.tracker import RecordingTracker
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.adapters.torch_heads.onnx_exporter import OnnxHeadExporter
from fusionapp.adapters.torch_heads.scorer import TorchHeadScorer
from fusionapp.adapters.torch_heads.trainer import TorchHeadTrainer
from fusionapp.application.ports.head_exporter import Trial
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe
from fusionapp.domain.scores import ensemble

RECIPE = TrainingRecipe(hidden_dims=(16,), epochs=2, batch_size=64, learning_rate=0.01, device="cpu")
CLASSES = ("joy", "grief", "ärger")
NORMALIZATIONS: Mapping[str, SourceRecipe] = {
    kind: SourceRecipe(normalize=kind) for kind in ("l2", "standard", "none")
}


@attrs.frozen
class Heads:
    """Two seeds' heads beside their linear path, if any, and rows they did not see."""

    directories: list[str]
    path: str | None
    rows: dict[str, Embeddings]

    def probabilities(self) -> NDArray[np.float32]:
        linear = None if self.path is None else ScipyLinearPath().score(self.path, self.rows)
        mean: NDArray[np.float32] = ensemble(
            TorchHeadScorer("cpu").score(self.directories, self.rows, linear)
        )[0]
        return mean

    def export(self, output: Path, **changes: Any) -> Any:
        layer = None if self.path is None else ScipyLinearPath().as_layer(self.path)
        trial = Trial(self.rows, changes.pop("probabilities", self.probabilities()))
        exporter = OnnxHeadExporter(**changes)
        with untouched_logging():
            return exporter.export(self.directories, CLASSES, layer, trial, str(output))


def fit(
    folder: Path,
    fusion: FusionSpec,
    recipe: TrainingRecipe = RECIPE,
    beside_path: bool = False,
    names: Sequence[str] = ("deep", "flat"),
) -> Heads:
    train, chosen = (only(toy_rows(120, seed), *names) for seed in (0, 1))
    path = None
    if beside_path:
        path = str(folder / "linear")
        scores = ScipyLinearPath().fit(
            "linear_svm", 3, train, chosen, recipe.sources, (1.0,), 3, 0, path, CountingProgress()
        )
        train, chosen = (
            attrs.evolve(train, linear=scores.train),
            attrs.evolve(chosen, linear=scores.validation),
        )
    directories = [str(folder / f"seed-{seed}") for seed in (0, 1)]
    TorchHeadTrainer().train(
        fusion, recipe, (0, 1), 3, train, chosen, directories, RecordingTracker(), CountingProgress()
    )
    rows = only(toy_rows(50, seed=2), *names).sources
    return Heads(directories, path, dict(rows))


def run(path: Path, rows: Mapping[str, Embeddings]) -> NDArray[np.float32]:
    feed: dict[str, Any] = {}
    for name, found in rows.items():
        if isinstance(found, np.ndarray):
            feed[name] = found
            continue
        feed[f"{name}.indptr"] = found.indptr.astype(np.int64)
        feed[f"{name}.indices"] = found.indices.astype(np.int64)
        feed[f"{name}.data"] = found.data
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], feed)
    probabilities: NDArray[np.float32] = found
    return probabilities


@pytest.mark.parametrize("kind", get_args(FusionKind))
def test_every_fusion_is_exported_and_says_what_the_scorer_says(tmp_path: Path, kind: FusionKind) -> None:
    heads = fit(tmp_path, FusionSpec(kind, product_dim=16, expert_dim=16))
    heads.export(tmp_path / "heads.onnx")
    np.testing.assert_allclose(run(tmp_path / "heads.onnx", heads.rows), heads.probabilities(), atol=1e-5)


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_the_linear_path_and_the_sources_preparation_are_in_the_graph(tmp_path: Path, normalize: str) -> None:
    recipe = attrs.evolve(RECIPE, sources={"deep": NORMALIZATIONS[normalize]})
    heads = fit(tmp_path, FusionSpec(), recipe, beside_path=True)
    heads.export(tmp_path / "heads.onnx")
    np.testing.assert_allclose(run(tmp_path / "heads.onnx", heads.rows), heads.probabilities(), atol=1e-5)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    return fit(tmp_path_factory.mktemp("heads"), FusionSpec())


def test_any_number_of_rows_goes_in(heads: Heads, tmp_path: Path) -> None:
    heads.export(tmp_path / "heads.onnx")
    for rows in (1, 7):
        some = {name: found[:rows] for name, found in heads.rows.items()}
        found = run(tmp_path / "heads.onnx", some)
        np.testing.assert_allclose(found, heads.probabilities()[:rows], atol=1e-5)


def test_one_seed_is_exported_alone(heads: Heads, tmp_path: Path) -> None:
    one = attrs.evolve(heads, directories=heads.directories[1:])
    one.export(tmp_path / "heads.onnx")
    np.testing.assert_allclose(run(tmp_path / "heads.onnx", heads.rows), one.probabilities(), atol=1e-5)


def test_the_graph_names_its_inputs_and_its_labels(heads: Heads, tmp_path: Path) -> None:
    exported = heads.export(tmp_path / "heads.onnx")
    graph = onnx.load(str(tmp_path / "heads.onnx"))
    about = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(about["labels"]) == list(CLASSES)
    assert json.loads(about["sources"]) == {"deep": [3, 12], "flat": [1, 8]}
    assert [entry.name for entry in graph.graph.input] == ["deep", "flat"]
    assert exported.inputs == {"deep": (3, 12), "flat": (1, 8)}
    assert (exported.rows, exported.largest_difference < 1e-5) == (50, True)


def test_a_graph_that_disagrees_with_predict_is_not_written(heads: Heads, tmp_path: Path) -> None:
    wrong = heads.probabilities()[:, ::-1]
    with pytest.raises(
        UsageError, match="not written: on 50 stored rows the graph's probabilities are up to"
    ):
        heads.export(tmp_path / "heads.onnx", probabilities=wrong)
    assert list(tmp_path.iterdir()) == []


SPARSE = FusionSpec(bag_width=4)
RECIPES: Mapping[str, SourceRecipe] = {
    "weighed": SourceRecipe(min_document_frequency=3),
    "counted": SourceRecipe(sublinear_tf=False, idf=False, max_columns=20),
}


@pytest.mark.parametrize("names", [("words",), ("flat", "words"), ("words", "deep")])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_sparse_source_goes_in_as_csr(tmp_path: Path, names: Sequence[str], recipe: str) -> None:
    recipes = attrs.evolve(RECIPE, sources={"words": RECIPES[recipe]})
    heads = fit(tmp_path, SPARSE, recipes, beside_path=True, names=names)
    heads.export(tmp_path / "heads.onnx")
    expected = heads.probabilities()
    for rows in (50, 1):
        some = {name: found[:rows] for name, found in heads.rows.items()}
        np.testing.assert_allclose(run(tmp_path / "heads.onnx", some), expected[:rows], atol=1e-5)


@pytest.mark.parametrize("kind", ["late", "attention", "gated"])
def test_a_sparse_source_goes_through_fusions_that_see_views(tmp_path: Path, kind: FusionKind) -> None:
    heads = fit(tmp_path, FusionSpec(kind, product_dim=8, bag_width=8), names=("flat", "words"))
    heads.export(tmp_path / "heads.onnx")
    np.testing.assert_allclose(run(tmp_path / "heads.onnx", heads.rows), heads.probabilities(), atol=1e-5)


def test_rows_without_a_cell_or_without_one_that_is_kept_go_in(tmp_path: Path) -> None:
    recipe = attrs.evolve(RECIPE, sources={"words": SourceRecipe(max_columns=3)})
    heads = fit(tmp_path, SPARSE, recipe, names=("flat", "words"))
    heads.export(tmp_path / "heads.onnx")
    counts = np.zeros((4, 50), dtype=np.float32)
    counts[1, 49] = counts[2, 0] = 2
    flat = np.asarray(heads.rows["flat"])
    for words in (counts, counts[:1]):
        some = attrs.evolve(heads, rows={"flat": flat[: len(words)], "words": csr_array(words)})
        np.testing.assert_allclose(run(tmp_path / "heads.onnx", some.rows), some.probabilities(), atol=1e-5)


def test_the_graph_says_how_wide_a_sparse_source_is(tmp_path: Path) -> None:
    heads = fit(tmp_path, SPARSE, names=("flat", "words"))
    assert heads.export(tmp_path / "heads.onnx").inputs == {"flat": (1, 8), "words": (50,)}
    graph = onnx.load(str(tmp_path / "heads.onnx"))
    names = [entry.name for entry in graph.graph.input]
    assert names == ["flat", "words.indptr", "words.indices", "words.data"]
    assert b"site-packages" not in (tmp_path / "heads.onnx").read_bytes()


def test_a_damaged_head_is_not_exported(heads: Heads, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError):
        OnnxHeadExporter().export(
            [str(tmp_path)], CLASSES, None, Trial(heads.rows, heads.probabilities()), str(tmp_path / "x.onnx")
        )


def test_a_place_that_cannot_be_written_is_named(heads: Heads, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="taken: is a directory"):
        heads.export(tmp_path / "taken")
