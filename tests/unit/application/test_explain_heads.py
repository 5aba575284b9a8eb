"""What heads lose and weigh, against the same worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np
import pytest
from fakes.heads import CountingProgress, NearestMeanScorer, NearestMeanTrainer, flattened, only, toy_rows
from fakes.inspectors import NearestMeanInspector
from fakes.paths import RandomPath
from fakes.tracker import RecordingTracker
from numpy.typing import NDArray

from fusionapp.adapters.linear.path import ScipyLinearPath
from fusionapp.application.ports.charts import BarChart, Heatmap
from fusionapp.application.ports.head_inspector import FusionWeights, Interaction, Part
from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.services.explain_ablation import HEADER, ExplainAblation, losses
from fusionapp.application.services.explain_fusion import (
    ExplainFusion,
    interaction_lengths,
    weights_by_class,
)
from fusionapp.application.services.explanation import Finding, Subject
from fusionapp.application.services.share_linear_path import ShareLinearPath
from fusionapp.domain.embeddings import Dense
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import SourceRecipe, TrainingRecipe
from fusionapp.domain.statistics.contrasts import contrasts
from fusionapp.domain.statistics.holm import holm

TRAIN, ROWS = toy_rows(), toy_rows(60, seed=2)
ABLATION = ExplainAblation(NearestMeanInspector(), RandomPath())


def subject(rows: LabelledEmbeddings = ROWS) -> Subject:
    views = {name: ["-3", "-2", "-1"] if name == "deep" else ["-1"] for name in rows.sources}
    places = np.arange(len(rows.labels))
    return Subject("test", "test", places, rows.labels, ["fear", "grief", "joy"], rows.sources, views)


def fit(folder: Path, rows: LabelledEmbeddings = TRAIN, linear: bool = False) -> list[str]:
    if linear:
        rows = attrs.evolve(rows, linear=RandomPath().score("", rows.sources))
    directories = [str(folder / str(seed)) for seed in (0, 1)]
    NearestMeanTrainer().train(
        FusionSpec(),
        TrainingRecipe(),
        (0, 1),
        3,
        rows,
        rows,
        directories,
        RecordingTracker(),
        CountingProgress(),
    )
    return directories


@pytest.fixture
def heads(tmp_path: Path) -> list[str]:
    return fit(tmp_path)


def by_name(finding: Finding) -> dict[str, dict[str, object]]:
    return {str(row[0]): dict(zip(finding.header, row, strict=True)) for row in finding.rows}


def accuracies(heads: Sequence[str], replaced: LabelledEmbeddings) -> list[float]:
    scores = NearestMeanScorer().score(heads, replaced.sources)
    return [sum(p == y for p, y in zip(run.argmax(-1), replaced.labels, strict=True)) / 60 for run in scores]


def deep_without(*layers: int) -> LabelledEmbeddings:
    deep: Dense = np.array(ROWS.sources["deep"])
    for layer in layers:
        deep[:, layer] = np.asarray(TRAIN.sources["deep"])[:, layer].mean(0)
    return attrs.evolve(ROWS, sources={**ROWS.sources, "deep": deep})


def test_the_p_value_of_a_drop_is_the_adjusted_one_and_called_so() -> None:
    rng = np.random.default_rng(0)
    whole = rng.random((2, 200)) < 0.8
    without = [whole & (rng.random((2, 200)) < kept) for kept in (0.99, 0.97, 0.5)]
    finding = losses("sources", "Sources", "", ["a", "b", "c"], whole, without, (), 400)
    shares = np.stack([hits.mean(axis=0) for hits in (whole, *without)])
    raw = [one.p_value for one in contrasts(shares, [(0, 1), (0, 2), (0, 3)], 400)]
    found = [row["adjusted_p"] for row in by_name(finding).values()]
    assert found == list(holm(dict(enumerate(raw))).values())
    assert found != raw
    assert "p_value" not in finding.header


def test_a_source_s_drop_is_what_is_lost_when_its_mean_takes_its_place(heads: list[str]) -> None:
    found = by_name(ABLATION(subject(), heads, TRAIN.sources, None, draws=100)[0])
    assert list(found) == ["deep", "flat", "words"]
    expected, whole = accuracies(heads, deep_without(0, 1, 2)), accuracies(heads, ROWS)
    row = found["deep"]
    assert set(row) == set(HEADER)
    assert row["accuracy_without"] == pytest.approx(np.mean(expected))
    assert row["sd"] == pytest.approx(np.std(expected, ddof=1))
    assert row["drop"] == pytest.approx(np.mean(whole) - np.mean(expected))
    assert row["drop_sd"] == pytest.approx(np.std(np.subtract(whole, expected), ddof=1))


def test_layers_are_named_as_the_encoder_names_them_and_removed_one_at_a_time(heads: list[str]) -> None:
    _, layers = ABLATION(subject(), heads, TRAIN.sources, None, draws=100)
    found = by_name(layers)
    assert list(found) == ["deep layer -3", "deep layer -2", "deep layer -1"]
    for layer, name in enumerate(found):
        expected = np.mean(accuracies(heads, deep_without(layer)))
        assert found[name]["accuracy_without"] == pytest.approx(expected)


def test_a_source_alone_keeps_none_of_the_others(heads: list[str]) -> None:
    found = by_name(ABLATION(subject(), heads, TRAIN.sources, None, draws=100)[0])
    flat = np.array(ROWS.sources["flat"])
    flat[:] = np.asarray(TRAIN.sources["flat"]).mean(0)
    both = attrs.evolve(only(ROWS, "deep"), sources={"deep": ROWS.sources["deep"], "flat": flat})
    pair = fit(Path(heads[0]).parent / "pair", only(TRAIN, "deep", "flat"))
    alone = by_name(ABLATION(subject(only(ROWS, "deep", "flat")), pair, TRAIN.sources, None, draws=100)[0])
    assert alone["deep"]["accuracy_alone"] == pytest.approx(np.mean(accuracies(pair, both)))
    assert found["words"]["accuracy_alone"] != found["words"]["accuracy_without"]


def test_the_interval_is_about_the_drop_and_the_verdict_within_it(heads: list[str]) -> None:
    sources = by_name(ABLATION(subject(), heads, TRAIN.sources, None, draws=300)[0])
    for row in sources.values():
        low, drop, high = (float(str(row[name])) for name in ("drop_low", "drop", "drop_high"))
        assert low <= drop <= high
        if low <= 0 <= high:
            assert row["the_whole_is"] == "not separable"


def test_a_source_that_says_nothing_is_not_separable_from_its_absence(tmp_path: Path) -> None:
    silent: Dense = np.ones((240, 1, 2), dtype=np.float32)
    train = attrs.evolve(TRAIN, sources={"flat": TRAIN.sources["flat"], "silent": silent})
    rows = attrs.evolve(ROWS, sources={"flat": ROWS.sources["flat"], "silent": silent[:60]})
    found = by_name(ABLATION(subject(rows), fit(tmp_path, train), train.sources, None, draws=300)[0])
    assert (found["silent"]["drop"], found["silent"]["the_whole_is"]) == (0.0, "not separable")
    assert found["flat"]["the_whole_is"] == "better"


def test_a_single_sparse_source_has_no_layers_to_remove(tmp_path: Path) -> None:
    words = only(TRAIN, "words")
    findings = ABLATION(subject(only(ROWS, "words")), fit(tmp_path, words), words.sources, None, draws=100)
    assert [finding.name for finding in findings] == ["sources"]
    assert findings[0].numbers["drop"].keys() == {"words"}


@pytest.mark.parametrize(
    "removed",
    [[Part("words")], [Part("flat")], [Part("deep")], [Part("deep", 1)], [Part("deep", 0), Part("words")]],
)
def test_removed_parts_leave_their_means_in_the_linear_path_s_scores(removed: list[Part]) -> None:
    path = RandomPath()
    expected = np.tile(path.intercept, (60, 1))
    for name, values in ROWS.sources.items():
        columns, train, weights = (
            flattened(values),
            flattened(TRAIN.sources[name]),
            path.weights(name, values),
        )
        for layer in [part.layer for part in removed if part.name == name]:
            chosen = slice(None) if layer is None else slice(layer * 12, layer * 12 + 12)
            columns[:, chosen] = train.mean(0)[chosen]
        expected += columns @ weights
    found = ShareLinearPath(path)("", ROWS.sources, TRAIN.sources).without(removed)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("normalize", ["l2", "standard", "none"])
def test_with_everything_removed_a_fitted_path_says_the_same_of_every_row(
    tmp_path: Path, normalize: Literal["l2", "standard", "none"]
) -> None:
    path, directory = ScipyLinearPath(), str(tmp_path / "path")
    recipes = {name: SourceRecipe(normalize=normalize) for name in TRAIN.sources}
    path.fit("linear_svm", 3, TRAIN, ROWS, recipes, [1.0], 3, 0, directory, CountingProgress())
    shares = ShareLinearPath(path)(directory, ROWS.sources, TRAIN.sources)
    scores = shares.without(map(Part, ROWS.sources))
    np.testing.assert_allclose(scores, np.tile(scores[:1], (60, 1)), atol=1e-4)
    assert np.ptp(shares.without([Part("deep")]), axis=0).min() > 0.1
    mean = path.score(directory, TRAIN.sources).mean(axis=0)
    np.testing.assert_allclose(scores[0], mean, atol=1e-4)


def test_heads_beside_a_path_are_scored_with_it(tmp_path: Path) -> None:
    heads = fit(tmp_path, linear=True)
    found = ABLATION(subject(), heads, TRAIN.sources, "path", draws=100)[0]
    scores = NearestMeanScorer().score(heads, ROWS.sources, RandomPath().score("", ROWS.sources))
    assert found.numbers["accuracy"] == pytest.approx((scores.argmax(-1) == ROWS.labels).mean())


def weights_of(labels: Sequence[int], weights: NDArray[np.float32], parts: Sequence[Part]) -> Finding:
    rows = only(toy_rows(len(labels)), "deep")
    about = attrs.evolve(subject(rows), labels=np.array(labels))
    return weights_by_class(about, FusionWeights(tuple(parts), weights))


def test_weights_are_averaged_over_the_rows_of_each_true_class_and_over_heads() -> None:
    labels = [0, 2, 0, 2, 2]
    weights = np.random.default_rng(0).dirichlet(np.ones(2), size=(3, 5)).astype(np.float32)
    found = weights_of(labels, weights, [Part("deep", 0), Part("deep", 2)])
    assert list(found.header) == ["class", "rows", "deep layer -3", "deep layer -1"]
    for place, (name, rows, *shares) in enumerate(found.rows):
        mine = [weights[head, row] for head in range(3) for row in range(5) if labels[row] == place]
        assert (name, rows) == (["fear", "grief", "joy"][place], labels.count(place))
        assert shares == ([None, None] if not mine else pytest.approx(list(np.mean(mine, axis=0)), abs=1e-6))
    assert found.numbers["deep layer -1"]["mean"] == pytest.approx(weights[..., 1].mean())
    assert isinstance(found.figure, Heatmap)
    assert np.isnan(found.figure.values[1]).all()


def test_experts_are_parts_without_layers() -> None:
    weights = np.full((1, 2, 2), 0.5, dtype=np.float32)
    found = weights_of([0, 1], weights, [Part("expert 1"), Part("expert 2")])
    assert list(found.header)[2:] == ["expert 1", "expert 2"]


def lengths(*values: float) -> Interaction:
    return Interaction("hadamard with b", "length", np.array([values], dtype=np.float32))


def test_vanished_products_are_warned_of() -> None:
    found = interaction_lengths([lengths(1e-7, 1e-7, 0.5, 0.5)])
    assert found.rows[0][-1] == 0.5
    assert "hadamard with b: the product vanishes in 50% of the rows" in found.warnings[0]


def test_sound_products_are_not() -> None:
    found = interaction_lengths([lengths(0.03, 0.04, 0.05)])
    assert found.warnings == []
    assert found.rows[0][2] == pytest.approx(0.04)
    assert isinstance(found.figure, BarChart)
    assert found.figure.logarithmic


@pytest.mark.parametrize(("share", "warned"), [(0.2, False), (0.9, True)])
def test_saturated_cells_are_warned_of(share: float, warned: bool) -> None:
    one = Interaction("co-occurrence", "saturated", np.array([[share], [share]], dtype=np.float32))
    found = interaction_lengths([one])
    assert bool(found.warnings) == warned
    assert isinstance(found.figure, BarChart)
    assert not found.figure.logarithmic


def test_path_and_network_are_judged_apart_and_together(tmp_path: Path) -> None:
    heads, linear = fit(tmp_path, linear=True), RandomPath().score("", ROWS.sources)
    found = by_name(ExplainFusion(NearestMeanInspector())(subject(), heads, linear, draws=200)[-1])
    score = NearestMeanScorer().score

    def accuracy(values: NDArray[np.float32]) -> float:
        return float((values.argmax(-1) == ROWS.labels).mean())

    assert found["path alone"]["accuracy"] == pytest.approx(accuracy(linear))
    assert found["both"]["accuracy"] == pytest.approx(accuracy(score(heads, ROWS.sources, linear)))
    silent = score(heads, ROWS.sources, np.zeros_like(linear))
    assert found["network alone"]["accuracy"] == pytest.approx(accuracy(silent))
    gain = found["both"]["accuracy"], found["path alone"]["accuracy"], found["path alone"]["gain_of_both"]
    assert float(str(gain[0])) - float(str(gain[1])) == pytest.approx(gain[2])
    assert found["both"]["gain_of_both"] is None


def test_heads_without_a_path_have_no_share_of_it(heads: list[str]) -> None:
    names = [
        finding.name for finding in ExplainFusion(NearestMeanInspector())(subject(), heads, None, draws=200)
    ]
    assert names == ["weights", "interactions"]
