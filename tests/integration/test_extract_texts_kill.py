"""A killed `extract --texts` goes on by the same command, to the files of one that nothing disturbed."""

from __future__ import annotations

import json
from pathlib import Path
from time import sleep

import pytest
from command_line import call, finish, start
from tiny_models import tiny_model

ROWS = 400
WORDS = ("extract", "--texts", "p.jsonl", "--text", "paragraph", "--id", "paper", "--shard-rows", "4")


@pytest.mark.parametrize(
    ("kind", "suffixes"),
    [("lexical", ("npz",)), pytest.param("bert", ("npy", "jsonl"), marks=pytest.mark.slow)],
)
def test_a_killed_job_goes_on_and_leaves_the_files_of_an_undisturbed_one(
    tmp_path: Path, kind: str, suffixes: tuple[str, ...]
) -> None:
    rows = [{"paper": row, "paragraph": f"the quick brown fox {row}"} for row in range(ROWS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    encoder = kind if kind == "lexical" else tiny_model(kind)
    words = (*WORDS, "--encoder", encoder, "--format", "npy", "--format", "jsonl")
    call(tmp_path, *words, "--output", "whole")

    process = start(tmp_path, *words, "--output", "killed")
    while sum(1 for _ in (tmp_path / "killed/embeddings").rglob("*")) < 12:
        assert process.poll() is None, process.communicate()
        sleep(0.002)
    process.kill()
    process.communicate()
    done = call(tmp_path, "status", "killed", "--json").json["durable_rows"]
    assert 0 < done < ROWS
    assert not list((tmp_path / "killed").glob(f"{kind}.*"))

    resumed = finish(start(tmp_path, *words, "--output", "killed", "--json"))
    assert resumed.code == 0, resumed.err
    assert resumed.json["encoders"][kind]["encoded_rows"] == ROWS - done
    for suffix in (*suffixes, "ids.jsonl"):
        whole, killed = (tmp_path / place / f"{kind}.{suffix}" for place in ("whole", "killed"))
        assert killed.read_bytes() == whole.read_bytes()
    assert call(tmp_path, "verify", "killed", "--json").json["ok"]


def test_an_export_that_was_killed_is_made_good(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("the fox\nthe dog\n", encoding="utf-8")
    words = ("extract", "--texts", "p.txt", "--encoder", tiny_model("bert"), "--output", "out")
    call(tmp_path, *words)
    expected = (tmp_path / "out/bert.npy").read_bytes()
    # What is left where the kill falls while a file is written: no file, no record, a torn part.
    (tmp_path / "out/bert.npy").unlink()
    torn = tmp_path / "out/.bert.npy.01234567.tmp"
    torn.write_bytes(expected[:50])
    again = call(tmp_path, *words, "--json").json
    assert again["encoders"]["bert"]["encoded_rows"] == 0
    assert (tmp_path / "out/bert.npy").read_bytes() == expected
    assert not torn.exists()
