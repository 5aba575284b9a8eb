"""`fusionapp index|search` over a tuned run: what they find, by vectors and by words too, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import call, flip, refused
from small_search import SearchJob, pair_rows
from tiny_models import save_tiny

from fusionapp.application.services.hybrid import Hybrid


def test_index_says_what_it_holds(searched: SearchJob) -> None:
    document = searched.printed["index"]
    assert (document["kind"], document["rows"], document["dim"]) == ("numpy", 15, 32)
    best = max(searched.printed["train"]["models"], key=lambda model: model["validation"]["mrr@10"])
    assert document["encoder"] == f"tuned-{best['seed']}"
    assert document["split"] == "test.documents"


def test_search_finds_documents_of_the_split_by_their_ids(searched: SearchJob) -> None:
    found = call(searched.directory, "search", "runs/s", "red fox", "-k", "4", "--json").json
    assert found["query"] == "red fox"
    assert len(found["hits"]) == 4
    texts = {row["paper"]: row["document"] for row in pair_rows()}
    for hit in found["hits"]:
        assert set(hit) == {"id", "score", "text"}
        assert texts[hit["id"]] == hit["text"]
    scores = [hit["score"] for hit in found["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_search_reads_a_query_a_line_from_stdin(searched: SearchJob) -> None:
    lines = call(searched.directory, "search", "runs/s", "-", "-k", "1", stdin=b"red fox\n\nsad day\n").lines
    assert [line["query"] for line in lines] == ["red fox", "sad day"]
    alone = call(searched.directory, "search", "runs/s", "sad day", "-k", "1", "--json").json
    assert lines[1]["hits"][0]["id"] == alone["hits"][0]["id"]


def test_a_hybrid_search_puts_a_document_of_the_very_words_first(searched: SearchJob) -> None:
    row = pair_rows()[-1]
    found = call(
        searched.directory, "search", "runs/s", row["document"], "--hybrid", "-k", "3", "--json"
    ).json
    assert found["hits"][0]["id"] == row["paper"]


def test_a_hybrid_search_fuses_as_the_evaluation_chose_and_before_it_by_ranks(search_job: Path) -> None:
    kept = json.loads((search_job / "runs/s/hybrids.json").read_text())
    leaderboard = (search_job / "runs/s/leaderboard-test.md").read_text()
    for one in kept["encoders"]:
        assert str(Hybrid(one["words"], one["weight"])) in leaderboard
    words = ("search", "runs/s", pair_rows()[-1]["document"], "--hybrid", "-k", "1", "--json")
    kept["encoders"] = [{**one, "words": "tfidf", "weight": 0.0} for one in kept["encoders"]]
    (search_job / "runs/s/hybrids.json").write_text(json.dumps(kept))
    assert call(search_job, *words).json["hits"][0]["score"] == pytest.approx(
        1.0
    )  # the highest of the words' scores
    (search_job / "runs/s/hybrids.json").unlink()
    assert call(search_job, *words).json["hits"][0]["score"] < 0.04  # a sum of reciprocal ranks


def test_an_evaluation_whose_hybrids_are_lost_is_made_again(search_job: Path) -> None:
    kept = (search_job / "runs/s/hybrids.json").read_bytes()
    (search_job / "runs/s/hybrids.json").unlink()
    before = json.loads((search_job / "runs/s/metrics-test.json").read_bytes())
    call(search_job, "evaluate", "s.toml")
    assert (search_job / "runs/s/hybrids.json").read_bytes() == kept
    after = json.loads((search_job / "runs/s/metrics-test.json").read_bytes())
    assert after["result"] == before["result"]


def test_an_evaluation_without_controls_forgets_no_hybrid(search_job: Path) -> None:
    kept = (search_job / "runs/s/hybrids.json").read_bytes()
    call(search_job, "evaluate", "s.toml", "--split", "validation", "--set", "evaluate.baselines=false")
    assert (search_job / "runs/s/hybrids.json").read_bytes() == kept


def test_a_flipped_bit_in_the_index_is_found_before_it_is_opened(search_job: Path) -> None:
    flip(search_job / "runs/s/index/vectors.index")
    assert "fusionapp index" in refused(search_job, "search", "runs/s", "red fox", code=3)
    call(search_job, "index", "runs/s")
    call(search_job, "search", "runs/s", "red fox")


def test_an_index_of_an_encoder_that_was_tuned_anew_is_not_searched(search_job: Path) -> None:
    # Another base: trained anew from the same one, the best step may be none again, and its index a good one.
    other = save_tiny("bert", search_job.parent / "other", layers=1)
    call(search_job, "train", "s.toml", "--overwrite", "--set", f"encoders.tiny.model={other}")
    assert "fusionapp index" in refused(search_job, "search", "runs/s", "red fox", code=2)
    call(search_job, "index", "runs/s")
    call(search_job, "search", "runs/s", "red fox")


def test_search_without_an_index_says_what_to_run(fresh_search: Path) -> None:
    call(fresh_search, "extract", "s.toml")
    assert "fusionapp index" in refused(fresh_search, "search", "runs/s", "red fox", code=2)


def test_a_run_that_is_not_tuned_is_indexed_with_the_untuned_encoder(fresh_search: Path) -> None:
    call(fresh_search, "extract", "s.toml")
    assert call(fresh_search, "index", "runs/s", "--json").json["encoder"] == "untuned"
    assert call(fresh_search, "search", "runs/s", "red fox", "-k", "2", "--json").json["hits"]
