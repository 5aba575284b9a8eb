from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from hashlib import sha256
from json import dumps, loads
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from fusionapp.adapters.linear import solver
from fusionapp.adapters.linear.features import LinearFeatures
from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.linear_path import PathScores
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.information import class_information
from fusionapp.domain.recipe import SourceRecipe
from fusionapp.domain.splitting import stratified_folds


class SilentBars:
    def task(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[SilentBars]:
        return nullcontext(self)

    def advance(self, amount: int, **rates: float) -> None:
        pass


@pytest.fixture(params=[0, 10_000], ids=["by weights", "by inner products"], autouse=True)
def kernel_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding an SVM's weights."""
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", request.param)


def rows(seed: int, count: int = 150, classes: int = 3) -> LabelledEmbeddings:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    dense = rng.normal(size=(count, 2, 5)).astype(np.float32)
    dense[np.arange(count), :, labels] += 1.0
    counts = rng.poisson(0.3, size=(count, 20)).astype(np.float32)
    return LabelledEmbeddings({"dense": dense, "sparse": csr_array(counts)}, labels)


def fitted(
    directory: Path, kind: LinearKind = "linear_svm", tolerance: float = 1e-4, information: bool = True
) -> PathScores:
    recipes = {"dense": SourceRecipe(normalize="standard"), "sparse": SourceRecipe(information=information)}
    return ScipyLinearPath(tolerance, tolerance).fit(
        kind, 3, rows(0), rows(1), recipes, (1.0,), 4, 5, str(directory), SilentBars()
    )


@pytest.mark.parametrize("information", [True, False])
@pytest.mark.parametrize("kind", ["linear_svm", "logistic_regression"])
def test_out_of_fold_scores_are_those_of_scikit_learn_fold_by_fold(
    tmp_path: Path, kind: LinearKind, information: bool
) -> None:
    """A weight on a squared coefficient is that column over the weight's root."""
    train = rows(0)
    design = LinearFeatures.fit(train.sources, {"dense": SourceRecipe(normalize="standard")}).transform(
        train.sources
    )
    columns = design.sparse[0].toarray()
    fold = stratified_folds(train.labels, 4, 5)
    expected = np.empty((150, 3))
    for part in range(4):
        model = (
            LinearSVC(C=1.0, dual=False, tol=1e-8, max_iter=10_000)
            if kind == "linear_svm"
            else LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000)
        )
        held = ((columns[fold != part] > 0)[:, :, None] * np.eye(3)[train.labels[fold != part]][:, None]).sum(
            0
        )
        nats = class_information(held, 1.0 * np.bincount(train.labels[fold != part], minlength=3)) + 1e-3
        x = np.hstack([design.dense[:, :-1], columns * np.sqrt(nats / nats.mean() if information else 1)])
        model.fit(x[fold != part], train.labels[fold != part])
        expected[fold == part] = model.decision_function(x[fold == part])
    scores = fitted(tmp_path, kind, information=information).train
    if kind == "logistic_regression":  # a constant for all classes is free
        scores, expected = (each - each.mean(1, keepdims=True) for each in (scores, expected))
    np.testing.assert_allclose(scores, expected, atol=3e-3)


def test_loose_folds_decide_as_exact_ones(tmp_path: Path) -> None:
    exact, loose = fitted(tmp_path), fitted(tmp_path, tolerance=0.3)
    assert np.mean(exact.train.argmax(1) == loose.train.argmax(1)) > 0.97


def changed_card(tmp_path: Path, **changes: Any) -> None:
    card = tmp_path / "linear.json"
    card.write_text(dumps({**loads(card.read_text()), **changes}))


def changed_tensors(tmp_path: Path, **changes: Any) -> None:
    """New numbers under a digest that fits them."""
    path = tmp_path / "linear.safetensors"
    save_file({**load_file(path), **changes}, path)
    changed_card(tmp_path, weights_sha256=sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 9},
        {"kind": "ridge"},
        {"classes": 4},
        {"classes": -1},
        {"cost": 0},
        {"sources": []},
        {"surprise": 1},
        {"weights_sha256": "0" * 64},
    ],
)
def test_a_card_that_lies_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    fitted(tmp_path)
    changed_card(tmp_path, **changes)
    with pytest.raises(CorruptArtifactError, match=r"linear\.(json|safetensors)"):
        ScipyLinearPath().score(str(tmp_path), rows(1).sources)


@pytest.mark.parametrize("field", ["layers", "dim", "kept", "divisor"])
@pytest.mark.parametrize("value", [-3, 10**12, float("nan")])
def test_a_source_of_a_size_that_it_has_not_is_refused(tmp_path: Path, field: str, value: float) -> None:
    fitted(tmp_path)
    sources = loads((tmp_path / "linear.json").read_text())["sources"]
    sources[1 if field == "kept" else 0][field] = value
    if field == "divisor" and value > 0:
        value = float("inf")
        sources[0][field] = value
    changed_card(tmp_path, sources=sources)
    with pytest.raises(CorruptArtifactError, match=r"linear\.(json|safetensors)"):
        ScipyLinearPath().score(str(tmp_path), rows(1).sources)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("weights", np.zeros((3, 3), np.float32)),
        ("weighting.1.columns", np.arange(20)[::-1].copy()),
        ("weighting.1.idf", np.full(20, np.nan, np.float32)),
        ("standardization.0.mean", np.zeros((2, 5))),
        ("standardization.0.deviation", np.zeros((2, 5), np.float32)),
    ],
)
def test_numbers_that_make_no_model_are_refused(tmp_path: Path, name: str, tensor: Any) -> None:
    fitted(tmp_path)
    changed_tensors(tmp_path, **{name: tensor})
    with pytest.raises(CorruptArtifactError, match=r"linear\.safetensors"):
        ScipyLinearPath().score(str(tmp_path), rows(1).sources)


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path)
    path = tmp_path / "linear.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorruptArtifactError, match="SHA-256"):
        ScipyLinearPath().score(str(tmp_path), rows(1).sources)
    (tmp_path / "linear.json").write_text("[" * 100_000)
    with pytest.raises(CorruptArtifactError, match=r"linear\.json"):
        ScipyLinearPath().score(str(tmp_path), rows(1).sources)
