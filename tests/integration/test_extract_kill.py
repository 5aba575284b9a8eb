"""A killed `fusionapp extract` resumes, by the same command, to the bytes of one that nothing disturbed."""

from __future__ import annotations

from pathlib import Path
from random import Random
from shutil import copytree, ignore_patterns
from time import sleep

import pytest
from command_line import call, finish, start
from small_job import Job, write_rows

from fusionapp.entrypoints import inspection

ROWS = 300


def stored(directory: Path) -> dict[str, bytes]:
    """Every file under the storage root but the locks."""
    root = directory / "embeddings"
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.name != ".lock")
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def kill(directory: Path, words: tuple[str, ...], files: int, delay: float) -> None:
    """Start the command and kill it when so many more files stand in the store, and a moment later."""
    root = directory / "embeddings"
    before = sum(1 for _ in root.rglob("*"))
    process = start(directory, *words)
    while sum(1 for _ in root.rglob("*")) < before + files:
        assert process.poll() is None, process.communicate()
        sleep(0.002)
    sleep(delay)
    process.kill()
    process.communicate()
    assert process.returncode == -9


@pytest.mark.parametrize(
    ("storage", "encoders", "kills"),
    [
        ("npy", ("lexical",), 2),
        pytest.param("npy", ("bert", "lexical"), 1, marks=pytest.mark.slow),
        pytest.param("npy", ("bert", "lexical"), 6, marks=pytest.mark.slow),
        pytest.param("parquet", ("bert", "lexical"), 6, marks=pytest.mark.slow),
    ],
)
def test_a_killed_extract_resumes_to_the_same_bytes(
    finished: Job, tmp_path: Path, storage: str, encoders: tuple[str, ...], kills: int
) -> None:
    for name in ("whole", "killed"):
        copytree(finished.directory, tmp_path / name, ignore=ignore_patterns("runs", "embeddings"))
        write_rows(tmp_path / name / "train.csv", ROWS, 3)
    chosen = [word for encoder in encoders for word in ("--encoder", encoder)]
    words = ("extract", "tiny.toml", "--storage", storage, "--set", "storage.shard_rows=4", *chosen)
    undisturbed = finish(start(tmp_path / "whole", *words))
    assert undisturbed.code == 0, undisturbed.err
    random = Random(f"{storage} {encoders} {kills}")
    for _ in range(kills):
        kill(tmp_path / "killed", words, files=random.randrange(2, 12), delay=random.random() * 0.02)
        status = call(tmp_path / "killed", "status", "runs/tiny", "--json").json
        assert not status["complete"]
        problems = inspection.verify(tmp_path / "killed" / "embeddings")
        assert all("torn" in problem.problem for problem in problems), problems
    resumed = finish(start(tmp_path / "killed", *words))
    assert resumed.code == 0, resumed.err
    expected = stored(tmp_path / "whole")
    assert len(expected) > ROWS // 4
    assert stored(tmp_path / "killed") == expected
    assert call(tmp_path / "killed", "verify", "embeddings", "--json").json["ok"]
