"""Real routing data, read, cut and loaded: 4,770 prompts, each answered by nine models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionapp.adapters.files import FileAnswerSource, read_prices
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.application.services.read_answers import ReadAnswers
from fusionapp.domain.routing.answer_columns import answer_columns

DATA = Path(__file__).parents[3] / "shared" / "data" / "llm_router"


@pytest.mark.skipif(not DATA.is_dir(), reason="the llm_router files are not beside the repository")
def test_every_prompt_is_in_one_split_with_nine_scores_and_costs(tmp_path: Path) -> None:
    spool, runs = ArrowSpool(tmp_path / "spool"), RunDirectory(tmp_path)
    source = FileAnswerSource({"train": DATA / "scores.jsonl.gz"}, answer_columns(id="prompt_id"))
    read = ReadAnswers(source, spool, runs)(prices=read_prices(DATA / "prices.json"), answer_tokens=300)
    assert len(read.models) == 9
    assert not read.without_price
    assert sum(split.prompts for split in read.splits.values()) == 4770
    assert sum(split.scores for split in read.splits.values()) == 4770 * 9
    # Shares of a hash: three standard deviations of 4,770 draws are 1.7 and 1.3 points.
    assert abs(read.splits["test"].prompts / 4770 - 0.2) < 0.017
    assert abs(read.splits["validation"].prompts / 4770 - 0.1) < 0.013
    rows = np.arange(read.splits["test"].prompts)
    spooled = spool.read("test")
    embeddings = {"none": np.zeros((len(rows), 1, 1), np.float32)}
    split = SplitEmbeddings("test", str(DATA), rows, spooled.labels(), spooled.ids(), embeddings, left_out=0)
    answered = LoadAnswers(spool, runs)(split).answered
    best = answered.scores.quality.mean(axis=0).max()
    assert 0.55 < best < 0.65
    assert answered.scores.quality.max(axis=1).mean() > best + 0.1  # there is something to route for
    assert np.isfinite(answered.scores.cost).all()
    assert len(answered.battles.outcome) == 36 * len(rows)
