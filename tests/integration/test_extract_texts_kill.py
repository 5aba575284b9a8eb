"""A killed `extract --texts` goes on by the same command, to the files of one that nothing disturbed."""

from __future__ import annotations

import json
from pathlib import Path
from time import sleep

import numpy as np
from command_line import call, finish, start
from tiny_models import tiny_model

ROWS = 240
WORDS = ("extract", "--texts", "p.jsonl", "--text", "paragraph", "--id", "paper", "--shard-rows", "4")


def test_a_killed_job_goes_on_and_leaves_the_files_of_an_undisturbed_one(tmp_path: Path) -> None:
    rows = [{"paper": row, "paragraph": f"the quick brown fox {row}"} for row in range(ROWS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = (*WORDS, "--encoder", tiny_model("bert"), "--format", "npy", "--format", "jsonl")
    call(tmp_path, *words, "--output", "whole")

    process = start(tmp_path, *words, "--output", "killed")
    while len(list((tmp_path / "killed").rglob("*.npy"))) < 3:
        assert process.poll() is None, process.communicate()
        sleep(0.002)
    process.kill()
    process.communicate()
    done = call(tmp_path, "status", "killed", "--json").json["durable_rows"]
    assert 0 < done < ROWS
    assert not (tmp_path / "killed/bert.npy").exists()

    resumed = finish(start(tmp_path, *words, "--output", "killed", "--json"))
    assert resumed.code == 0, resumed.err
    assert resumed.json["encoders"]["bert"]["encoded_rows"] == ROWS - done
    for name in ("bert.npy", "bert.jsonl", "bert.ids.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert np.load(tmp_path / "killed/bert.npy").shape[0] == ROWS
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
