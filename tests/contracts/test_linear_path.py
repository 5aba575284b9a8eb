from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.linear import ClassSharePath
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.adapters.linear import solver
from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.adapters.linear.remembered import RememberedLinearPath
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_control import LinearKind
from fusionapp.application.ports.linear_path import LinearPath, PathScores
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.linear_layer import SparseLinearSource, scale_rows


class SilentBars:
    def task(self, name: str, total: int, unit: str, done: int = 0) -> AbstractContextManager[SilentBars]:
        return nullcontext(self)

    def advance(self, amount: int, **rates: float) -> None:
        pass


@pytest.fixture(params=[0, 10_000], ids=["by weights", "by inner products"], autouse=True)
def kernel_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of finding an SVM's weights."""
    monkeypatch.setattr(solver, "_MOST_KERNEL_ROWS", request.param)


def rows(seed: int, count: int = 120, classes: int = 3) -> LabelledEmbeddings:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    dense = rng.normal(size=(count, 2, 5)).astype(np.float32)
    dense[np.arange(count), :, labels] += 1.5
    counts = rng.poisson(0.2, size=(count, 20)).astype(np.float32)
    counts[np.arange(count), labels] += rng.integers(0, 3, count)
    return LabelledEmbeddings({"dense": dense, "sparse": csr_array(counts)}, labels)


@pytest.fixture(params=[ScipyLinearPath, RememberedLinearPath, ClassSharePath])
def path(request: pytest.FixtureRequest) -> LinearPath:
    built: LinearPath = request.param()
    return built


@pytest.fixture(params=[ScipyLinearPath, ClassSharePath])
def exact_path(request: pytest.FixtureRequest) -> LinearPath:
    """Folds fitted to rounding: where a looser fit stops may hang on the preconditioner, which saw all labels."""
    loose: LinearPath = request.param()
    return attrs.evolve(loose, fold_tolerance=1e-5) if isinstance(loose, ScipyLinearPath) else loose


def fit(
    path: LinearPath,
    directory: Path,
    train: LabelledEmbeddings,
    kind: LinearKind = "linear_svm",
    classes: int = 3,
    folds: int = 4,
    costs: tuple[float, ...] = (0.1, 1.0),
) -> PathScores:
    return path.fit(
        kind, classes, train, rows(1, classes=classes), {}, costs, folds, 0, str(directory), SilentBars()
    )


@pytest.mark.parametrize("kind", ["linear_svm", "logistic_regression"])
@pytest.mark.parametrize("classes", [2, 3])
def test_every_row_gets_a_finite_score_of_every_class(
    path: LinearPath, tmp_path: Path, kind: LinearKind, classes: int
) -> None:
    scores = fit(path, tmp_path, rows(0, classes=classes), kind, classes)
    assert scores.train.shape == scores.validation.shape == (120, classes)
    assert scores.train.dtype == scores.validation.dtype == np.float32
    assert np.isfinite(scores.train).all()
    assert scores.cost in scores.tried


def test_the_kept_model_scores_as_it_did_when_fitted(path: LinearPath, tmp_path: Path) -> None:
    scores = fit(path, tmp_path / "new" / "folder", rows(0))
    again = path.score(str(tmp_path / "new" / "folder"), rows(1).sources)
    np.testing.assert_allclose(again, scores.validation, atol=1e-5)
    assert again.dtype == np.float32


def test_a_rows_own_label_does_not_reach_its_score(exact_path: LinearPath, tmp_path: Path) -> None:
    train = rows(0)
    swapped = train.labels.copy()
    one, other = (int(np.flatnonzero(train.labels == c)[0]) for c in (0, 1))
    before = fit(exact_path, tmp_path, train, folds=len(train.labels), costs=(1.0,)).train
    swapped[[one]] = 2
    after = fit(
        exact_path, tmp_path, LabelledEmbeddings(train.sources, swapped), folds=120, costs=(1.0,)
    ).train
    np.testing.assert_allclose(before[one], after[one], atol=2e-3)
    assert np.abs(before[other] - after[other]).max() > 5e-3


def test_the_same_seed_gives_the_same_scores(path: LinearPath, tmp_path: Path) -> None:
    first, second = (fit(path, tmp_path, rows(0)) for _ in range(2))
    np.testing.assert_array_equal(first.train, second.train)


def test_a_class_with_one_row_is_scored_without_having_been_seen(path: LinearPath, tmp_path: Path) -> None:
    train = rows(0)
    labels = np.where(train.labels == 2, 1, train.labels)
    labels[7] = 2
    scores = fit(path, tmp_path, LabelledEmbeddings(train.sources, labels))
    assert np.isfinite(scores.train).all()
    assert scores.train[7].argmax() != 2


def test_train_may_have_fewer_rows_than_folds(path: LinearPath, tmp_path: Path) -> None:
    few = LabelledEmbeddings({n: s[:3] for n, s in rows(0).sources.items()}, np.array([0, 1, 2]))
    assert fit(path, tmp_path, few, folds=5).train.shape == (3, 3)


@pytest.mark.parametrize("costs", [(), (1.0, 0.0)])
def test_a_cost_that_is_not_above_zero_is_refused(
    path: LinearPath, tmp_path: Path, costs: tuple[float, ...]
) -> None:
    with pytest.raises(UsageError, match="C must be above 0"):
        fit(path, tmp_path, rows(0), costs=costs)


def test_other_sources_than_those_fitted_are_refused(path: LinearPath, tmp_path: Path) -> None:
    train = rows(0)
    fit(path, tmp_path, train)
    for sources in (
        {"dense": train.sources["dense"]},
        {"dense": train.sources["sparse"], "sparse": train.sources["dense"]},
        {"dense": np.zeros((3, 2, 4), np.float32), "sparse": train.sources["sparse"][:3]},
    ):
        with pytest.raises(UsageError):
            path.score(str(tmp_path), sources)


def test_a_missing_model_is_refused(path: LinearPath, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError):
        path.score(str(tmp_path / "nothing"), rows(0).sources)


@pytest.mark.parametrize("names", [("dense",), ("sparse",), ("sparse", "dense")])
def test_a_model_scores_as_its_layer_does(path: LinearPath, tmp_path: Path, names: Sequence[str]) -> None:
    train, held_out = (
        attrs.evolve(some, sources={name: some.sources[name] for name in names})
        for some in (rows(0), rows(1))
    )
    path.fit("linear_svm", 3, train, held_out, {}, (1.0,), 4, 0, str(tmp_path), SilentBars())
    layer = path.as_layer(str(tmp_path))
    found: NDArray[Any] = layer.intercept
    for name, source in layer.sources.items():
        given = held_out.sources[name]
        if isinstance(source, SparseLinearSource):
            found = found + source.weighting.transform(csr_array(given)) @ source.weights
            continue
        x = np.asarray(given)
        scaled = scale_rows(x, source.unit_layers, source.divisor)
        found = found + scaled.reshape(len(x), -1) @ source.weights
    found = np.broadcast_to(found, (len(held_out.labels), 3))
    np.testing.assert_allclose(found, path.score(str(tmp_path), held_out.sources), rtol=1e-4, atol=1e-5)


def test_a_layer_of_no_model_is_a_corrupt_artefact(path: LinearPath, tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError):
        path.as_layer(str(tmp_path / "nowhere"))
