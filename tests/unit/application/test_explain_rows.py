"""What a classifier gets wrong, and the files that say so."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.charts import ListingCharts
from fakes.encoders import CountingEncoder
from fakes.house import BuildHouse, TopicEncoder, examples
from fakes.stores import MemoryRunStore, MemorySpool
from numpy.typing import NDArray

from fusionapp.application.ports.charts import BarChart, Heatmap, ReliabilityDiagram
from fusionapp.application.services.explain_predictions import ExplainPredictions
from fusionapp.application.services.explain_retraining import ExplainRetraining
from fusionapp.application.services.explanation import MOST_DRAWN, Finding, Subject
from fusionapp.application.services.write_explanation import WriteExplanation
from fusionapp.domain.examples import Example
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

ODD = ['a,b "c"', "=SUM(1)", "x|y\nz", "<b>笑い</b>"]


def explain(
    classes: list[str] = ODD, rows: int = 80, seed: int = 0
) -> tuple[Subject, NDArray[np.float32], dict[str, Finding]]:
    """Rows 3, 5, 7, ... of a split, with scores that are right about half of the time."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), rows)
    probabilities = rng.dirichlet(np.full(len(classes), 0.3), rows)
    probabilities[np.arange(rows), labels] += 0.3
    probabilities = (probabilities / probabilities.sum(-1, keepdims=True)).astype(np.float32)
    spool = MemorySpool()
    texts = [Example(f"text {row}", "any", {"paper": f"p{row}"}) for row in range(2 * rows + 3)]
    spool.write("train", texts)
    places = np.arange(3, 2 * rows + 3, 2)
    about = Subject("validation", "train", places, labels, classes, {}, {})
    return about, probabilities, {one.name: one for one in ExplainPredictions(spool)(about, probabilities)}


def test_the_confusion_matrix_counts_every_pair() -> None:
    about, probabilities, found = explain()
    counted = Counter(zip(about.labels.tolist(), probabilities.argmax(-1).tolist(), strict=True))
    for label, (name, *cells) in enumerate(found["confusion"].rows):
        assert name == ODD[label]
        assert cells == [counted[label, said] for said in range(4)]


def test_its_picture_shows_shares_of_the_true_class() -> None:
    _, _, found = explain()
    figure = found["confusion"].figure
    assert isinstance(figure, Heatmap)
    np.testing.assert_allclose(figure.values.sum(1), 1.0)
    assert list(figure.rows) == list(figure.columns) == ODD


def test_confused_pairs_are_listed_with_what_goes_the_other_way() -> None:
    about, probabilities, found = explain()
    said = probabilities.argmax(-1)
    rows = found["confused-pairs"].rows
    assert [row[2] for row in rows] == sorted((row[2] for row in rows), reverse=True)
    for label, predicted, count, share, other_way in rows:
        a, b = ODD.index(str(label)), ODD.index(str(predicted))
        assert count == ((about.labels == a) & (said == b)).sum()
        assert share == pytest.approx(count / (about.labels == a).sum())
        assert other_way == ((about.labels == b) & (said == a)).sum()


def test_the_surest_errors_come_first_with_their_text_id_and_row() -> None:
    about, probabilities, found = explain()
    said = probabilities.argmax(-1)
    wrong = [place for place in range(80) if said[place] != about.labels[place]]
    wrong.sort(key=lambda place: -probabilities[place].max())
    rows = found["errors"].rows
    assert len(rows) == min(50, len(wrong))
    for place, (row, id_, label, predicted, sure, of_label, text) in zip(wrong, rows, strict=False):
        assert (row, json.loads(id_), text) == (2 * place + 3, {"paper": f"p{row}"}, f"text {row}")
        assert (label, predicted) == (ODD[about.labels[place]], ODD[said[place]])
        assert sure == probabilities[place].max()
        assert of_label == probabilities[place, about.labels[place]]


def test_the_errors_picture_counts_every_row_by_confidence() -> None:
    about, probabilities, found = explain()
    figure = found["errors"].figure
    assert isinstance(figure, BarChart)
    right, wrong = (figure.groups[name].values for name in ("right", "wrong"))
    hits = probabilities.argmax(-1) == about.labels
    assert (right.sum(), wrong.sum()) == (hits.sum(), (~hits).sum())
    between = (probabilities.max(-1) >= 0.9) & (probabilities.max(-1) < 1.0)
    assert wrong[9] == (~hits & between).sum()


def test_every_class_has_its_scores_and_the_hardest_is_named() -> None:
    _, _, found = explain()
    classes = found["classes"]
    assert [row[0] for row in classes.rows] == ODD
    assert classes.numbers["hardest_f1"] == min(row[3] for row in classes.rows)


def test_the_reliability_table_counts_every_row_once_and_leaves_empty_bins_blank() -> None:
    _, _, found = explain()
    rows = found["reliability"].rows
    assert len(rows) == 15
    assert sum(row[2] for row in rows) == 80
    assert all((row[3] is None) == (row[2] == 0) for row in rows)
    assert isinstance(found["reliability"].figure, ReliabilityDiagram)


def test_with_many_classes_tables_hold_all_and_pictures_the_most_telling() -> None:
    many = [f"class {number}" for number in range(130)]
    about, probabilities, found = explain(many, rows=400)
    confusion, classes = found["confusion"], found["classes"]
    assert (len(confusion.rows), len(classes.rows)) == (130, 130)
    assert isinstance(confusion.figure, Heatmap)
    assert isinstance(classes.figure, BarChart)
    assert confusion.figure.values.shape == (MOST_DRAWN, MOST_DRAWN)
    assert f"the {MOST_DRAWN} most confused classes" in confusion.figure.title
    errors = Counter(about.labels[about.labels != probabilities.argmax(-1)].tolist())
    errors.update(probabilities.argmax(-1)[about.labels != probabilities.argmax(-1)].tolist())
    left_out = set(many) - set(confusion.figure.rows)
    least_shown = min(errors[many.index(name)] for name in confusion.figure.rows)
    assert all(errors[many.index(name)] <= least_shown for name in left_out)


def test_a_classifier_that_is_always_right_has_no_errors_to_show() -> None:
    spool = MemorySpool()
    spool.write("test", [Example("text", "any", {})])
    about = Subject("test", "test", np.array([0]), np.array([1]), ["a", "b"], {}, {})
    found = {
        one.name: one for one in ExplainPredictions(spool)(about, np.array([[0.1, 0.9]], dtype=np.float32))
    }
    assert found["errors"].rows == []
    assert found["confused-pairs"].rows == []
    assert found["confusion"].numbers["accuracy"] == 1.0


def written(tmp_path: Path, charts: ListingCharts | None) -> tuple[MemoryRunStore, Any]:
    runs = MemoryRunStore(tmp_path)
    _, _, found = explain()
    write = WriteExplanation(runs, charts)
    return runs, write("explanations/validation", "Run *x*", ["80 rows"], list(found.values()))


def test_every_finding_is_a_csv_that_reads_back_cell_by_cell(tmp_path: Path) -> None:
    runs, places = written(tmp_path, ListingCharts())
    _, _, found = explain()
    for place in places:
        table = runs.texts[f"explanations/validation/{place.name}.csv"]
        header, *rows = csv.reader(io.StringIO(table))
        assert header == list(found[place.name].header)
        expected = [["" if cell is None else str(cell) for cell in row] for row in found[place.name].rows]
        assert rows == expected
        assert place.rows == len(rows)


def test_the_index_shows_every_table_and_embeds_every_picture(tmp_path: Path) -> None:
    runs, places = written(tmp_path, ListingCharts())
    index = runs.texts["explanations/validation/index.md"]
    assert index.startswith("# Run \\*x\\*\n\n- 80 rows\n")
    for place in places:
        assert f"({place.name}.csv)" in index
        assert (f"({place.name}.svg)" in index) == (place.figure is not None)
        assert place.figure is None or f"explanations/validation/{place.name}.svg" in runs.texts


def test_odd_names_break_no_table_of_the_index(tmp_path: Path) -> None:
    runs, _ = written(tmp_path, None)
    index = runs.texts["explanations/validation/index.md"]
    rows = [line for line in index.splitlines() if line.startswith("| x\\|y z |")]
    assert {line.replace("\\|", "").count("|") for line in rows} >= {6, 7}  # of the matrix and of the classes
    assert "\\<b>笑い" in index


def test_without_charts_the_tables_are_there_all_the_same(tmp_path: Path) -> None:
    runs, places = written(tmp_path, None)
    assert not [name for name in runs.texts if name.endswith(".svg")]
    assert all(
        place.figure is None and f"explanations/validation/{place.name}.csv" in runs.texts for place in places
    )


def test_a_new_explanation_leaves_nothing_of_an_earlier_one_and_touches_no_other(tmp_path: Path) -> None:
    runs, places = written(tmp_path, ListingCharts())
    runs.write_text("explanations/test/x.csv", "of another split")
    kept = next(place for place in places if place.figure is not None)
    _, _, found = explain()
    WriteExplanation(runs)("explanations/validation", "Run x", [], [found[kept.name]])
    assert set(runs.texts) == {
        "explanations/test/x.csv",
        "explanations/validation/index.md",
        f"explanations/validation/{kept.name}.csv",
    }


def test_warnings_stand_above_the_findings(tmp_path: Path) -> None:
    runs = MemoryRunStore(tmp_path)
    finding = Finding("x", "X", "how", ("a",), [(1,)], warnings=["it saturates " * 20])
    WriteExplanation(runs)("e", "t", [], [finding])
    above, _ = runs.texts["e/index.md"].split("## X")
    assert ("it saturates " * 20).strip() in above


def test_a_source_s_absence_is_trained_from_the_start_and_kept(build: BuildHouse) -> None:
    house = build({"train": examples(60, 1), "test": examples(40, 2)})
    extraction = house.extract({"topic": TopicEncoder(), "noise": CountingEncoder(name="noise")})
    data, test = house.prepare(extraction), house.gather(extraction, "test")
    house.trained(data, [0, 1])
    retrain = ExplainRetraining(house.train, house.score)
    how: Any = (FusionSpec(), TrainingRecipe(), [0, 1], data, test, {"encoders": {}}, "label", 200)
    found = retrain(*how)
    assert found is not None
    rows = {row[0]: dict(zip(found.header, row, strict=True)) for row in found.rows}
    assert rows["topic"]["the_whole_is"] == "better"
    assert rows["noise"]["the_whole_is"] == "not separable"
    assert rows["topic"]["accuracy_alone"] is None
    kept = house.runs.read_document("ablations/without-topic/trained.json")
    assert kept is not None
    assert retrain(*how) is not None
    assert house.runs.read_document("ablations/without-topic/trained.json") == kept


def test_a_single_source_cannot_be_trained_without(build: BuildHouse) -> None:
    house = build({"train": examples(60, 1), "test": examples(40, 2)})
    extraction = house.extract({"topic": TopicEncoder()})
    data, test = house.prepare(extraction), house.gather(extraction, "test")
    retrain = ExplainRetraining(house.train, house.score)
    how: Any = (FusionSpec(), TrainingRecipe(), [0], data, test, {"encoders": {}}, "label", 200)
    assert retrain(*how) is None
