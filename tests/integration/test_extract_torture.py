"""Random SIGKILLs of a real extraction, and random flipped bits: nothing lost, doubled, or unnoticed."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from command_line import attempt, call, finish, start
from small_job import Job, write_rows
from store_sets import contents
from torture import kill_at_random, random_flips, stored

OF_EMBEDDINGS = ("embeddings/", "runs/tiny/spool/", "runs/tiny/embeddings.json", "runs/tiny/checksums.jsonl")
FRESH = shutil.ignore_patterns("runs", "embeddings")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("storage", "encoders", "kills"),
    [
        ("npy", ["lexical"], 2),
        pytest.param("npy", ["lexical"], 80, marks=pytest.mark.slow),
        pytest.param("parquet", ["lexical"], 40, marks=pytest.mark.slow),
        pytest.param("npy", ["bert", "lexical"], 80, marks=pytest.mark.slow),
    ],
)
def test_an_extraction_that_is_killed_at_random_ends_in_the_same_bytes(
    finished: Job, tmp_path: Path, storage: str, encoders: list[str], kills: int
) -> None:
    words, whole = undisturbed(finished, tmp_path, storage, encoders)
    random = Random(f"{storage} {encoders} {kills}")

    tally = kill_at_random(tmp_path / "killed", words, kills, whole, random)

    assert tally.kills == kills
    assert sum(tally.jobs) == kills
    print(f"{storage} {encoders}: {tally}")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("encoders", "kills"), [(["lexical"], 60), (["bert"], 12)])
def test_an_extraction_by_processes_that_are_killed_at_random_ends_in_the_same_bytes(
    finished: Job, tmp_path: Path, encoders: list[str], kills: int
) -> None:
    words, whole = undisturbed(finished, tmp_path, "npy", encoders)
    random = Random(f"processes {encoders} {kills}")
    killed = tmp_path / "killed"

    by_processes = [*words, "--executor", "processes", "--workers", "2"]
    tally = kill_at_random(killed, by_processes, kills, whole, random, worker_kills=kills)

    assert tally.kills == kills
    assert tally.workers > 0
    print(f"processes {encoders}: {tally}")


def undisturbed(
    finished: Job, directory: Path, storage: str, encoders: list[str]
) -> tuple[list[str], dict[str, bytes]]:
    """A command for `killed`, and what it leaves by itself."""
    for name in ("whole", "killed"):
        shutil.copytree(finished.directory, directory / name, ignore=FRESH)
        write_rows(directory / name / "train.csv", 240, 3)
    chosen = [word for encoder in encoders for word in ("--encoder", encoder)]
    words = ["extract", "tiny.toml", "--storage", storage, "--set", "storage.shard_rows=2", *chosen]
    ended = finish(start(directory / "whole", *words))
    assert ended.code == 0, ended.err
    return words, stored(directory / "whole")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flips", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_noticed_and_never_used(job: Path, flips: int) -> None:
    """Of a run's own files and of the store's: `verify` names the file; `extract` mends or refuses it."""
    files = contents(job)
    written = {name: content for name, content in files.items() if name.startswith(("runs/", "embeddings/"))}
    mended = refused = 0
    for flip in random_flips(written, flips, Random(flips)):
        flip.apply(job)
        place = "runs/tiny" if flip.name.startswith("runs/") else "embeddings"
        problems = call(job, "verify", place, "--json", code=3).json["problems"]
        assert Path(flip.name).name in {Path(problem["file"]).name for problem in problems}, flip
        if flip.name.startswith(OF_EMBEDDINGS):
            ended = attempt(job, "extract", "tiny.toml", "--json")
            assert ended.code in (0, 3), (flip, ended)
            mended, refused = mended + (ended.code == 0), refused + (ended.code == 3)
            if ended.code == 0:
                assert stored(job) == stored_in(files), flip
                assert call(job, "verify", "runs/tiny", "--json").json["ok"], flip
        put_back(job, files)
    print(f"{flips} flips, all noticed; extract mended {mended} of them and refused {refused}")


def stored_in(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files of the store but the locks, as `stored` names them."""
    start = "embeddings/"
    found = {name.removeprefix(start): files[name] for name in files if name.startswith(start)}
    return {name: content for name, content in found.items() if not name.endswith(".lock")}


def put_back(job: Path, files: dict[str, bytes]) -> None:
    """The files as they were, without others."""
    for name, content in contents(job).items():
        if name not in files:
            (job / name).unlink()
        elif files[name] != content:
            (job / name).write_bytes(files[name])
