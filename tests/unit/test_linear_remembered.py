"""A linear path is fitted once for the same numbers, and anew for any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress, toy_rows

from fusionapp.adapters.linear.artefact import WEIGHTS_FILE
from fusionapp.adapters.linear.remembered import RememberedLinearPath
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_path import PathScores
from fusionapp.domain.recipe import SourceRecipe

TRAIN, VALIDATION = toy_rows(60, 0), toy_rows(30, 1)


@attrs.define
class Bench:
    """A remembering path, and how often it was fitted indeed."""

    directory: Path
    path: RememberedLinearPath = attrs.field(factory=lambda: RememberedLinearPath(most=2))
    progress: CountingProgress = attrs.field(factory=CountingProgress)

    def fit(self, name: str, **changed: Any) -> PathScores:
        plain = {"kind": "linear_svm", "classes": 3, "train": TRAIN, "validation": VALIDATION, "recipes": {}}
        more = {"costs": (0.1, 1.0), "folds": 3, "seed": 0, "directory": str(self.directory / name)}
        return self.path.fit(**{**plain, **more, **changed}, progress=self.progress)

    @property
    def fits(self) -> int:
        return len(self.progress.tasks)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def changed_at(labelled: LabelledEmbeddings, source: str) -> LabelledEmbeddings:
    """The same rows but for one number of one source."""
    sources = {name: embeddings.copy() for name, embeddings in labelled.sources.items()}
    found = sources[source]
    values = found if isinstance(found, np.ndarray) else found.data
    values.reshape(-1)[-1] += 1
    return LabelledEmbeddings(sources, labelled.labels)


def test_the_same_numbers_are_fitted_once_and_the_model_stands_in_both_places(bench: Bench) -> None:
    first, second = bench.fit("first"), bench.fit("second")
    assert bench.fits == 1
    np.testing.assert_array_equal(first.train, second.train)
    np.testing.assert_array_equal(first.validation, second.validation)
    scored = [
        bench.path.score(str(bench.directory / name), VALIDATION.sources) for name in ("first", "second")
    ]
    np.testing.assert_array_equal(scored[0], scored[1])
    files = [(bench.directory / name / WEIGHTS_FILE).read_bytes() for name in ("first", "second")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": "logistic_regression"},
        {"costs": (0.1,)},
        {"folds": 4},
        {"seed": 1},
        {"recipes": {"words": SourceRecipe(idf=False)}},
        {"train": changed_at(TRAIN, "deep")},
        {"train": changed_at(TRAIN, "words")},
        {"validation": changed_at(VALIDATION, "flat")},
        {"train": LabelledEmbeddings(TRAIN.sources, (TRAIN.labels + 1) % 3)},
    ],
    ids="-".join,
)
def test_anything_else_is_fitted_anew(bench: Bench, changed: dict[str, Any]) -> None:
    bench.fit("first")
    bench.fit("second", **changed)
    assert bench.fits == 2


def test_settings_of_a_source_that_is_not_there_change_nothing(bench: Bench) -> None:
    bench.fit("first")
    bench.fit("second", recipes={"gone": SourceRecipe(dropout=0.5), "deep": SourceRecipe()})
    assert bench.fits == 1


def test_what_is_done_to_the_scores_stays_with_who_did_it(bench: Bench) -> None:
    bench.fit("first")
    bench.fit("second").train[:] = 0
    assert bench.fit("third").train.any()


def test_a_model_that_was_damaged_is_fitted_anew(bench: Bench) -> None:
    bench.fit("first")
    weights = bench.directory / "first" / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    bench.fit("second")
    assert bench.fits == 2


def test_a_place_that_holds_another_model_by_now_is_no_source(bench: Bench) -> None:
    expected = bench.fit("first")
    bench.fit("first", seed=1, train=changed_at(TRAIN, "deep"))
    again = bench.fit("second")
    assert bench.fits == 3
    np.testing.assert_array_equal(again.train, expected.train)


def test_the_oldest_fit_is_forgotten(bench: Bench) -> None:
    for seed in (0, 1, 2, 0):
        bench.fit(f"seed-{seed}", seed=seed)
    assert bench.fits == 4
