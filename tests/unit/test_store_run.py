"""A run directory's files: damage is found, a crash is not mistaken for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from store_sets import contents

from fusionapp.adapters.filesystem.checksums import Checksum
from fusionapp.adapters.filesystem.journal import JOURNAL, announced, opened
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.sealed import seal
from fusionapp.domain.errors import CorruptArtifactError, LockedError, UsageError


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """A run with one artefact of each kind."""
    run = RunDirectory(tmp_path / "emotions")
    run.write_document("experiment.json", {"name": "emotions"})
    run.write_table("scores/test.parquet", {"p": np.ones((4, 3), np.float32), "label": list("abcd")})
    run.write_text("leaderboard.md", "| fusion | accuracy |\n")
    Path(run.path("models/seed-0")).mkdir()
    Path(run.path("models/seed-0/head.safetensors")).write_bytes(b"weights")
    run.record("models")
    return run


def append(run: RunDirectory, *records: object) -> None:
    with (Path(run.directory) / JOURNAL).open("ab") as journal:
        journal.writelines(seal(record) for record in records)


def test_a_flipped_bit_is_found_in_every_file(run: RunDirectory) -> None:
    directory = Path(run.directory)
    assert list(run.verify()) == []
    for name, content in contents(directory).items():
        for position in range(0, len(content), 13):
            damaged = bytearray(content)
            damaged[position] ^= 32
            (directory / name).write_bytes(damaged)
            assert name in {problem.file for problem in run.verify()}, (name, position)
        (directory / name).write_bytes(content)
    assert list(run.verify()) == []


def test_a_crash_between_announcing_and_writing_is_no_corruption(run: RunDirectory) -> None:
    append(
        run, announced("experiment.json", Checksum("a" * 64, 1)), announced("new.json", Checksum("b" * 64, 1))
    )
    assert list(run.verify()) == []
    run.write_document("experiment.json", {"name": "again"})
    assert list(run.verify()) == []


def test_a_crash_between_writing_and_recording_is_no_corruption(run: RunDirectory) -> None:
    journal = Path(run.directory) / JOURNAL
    run.write_document("experiment.json", {"name": "other"})
    *lines, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines))
    assert list(run.verify()) == []


def test_a_flipped_bit_in_an_announced_file_is_still_found(run: RunDirectory) -> None:
    append(run, announced("experiment.json", Checksum("a" * 64, 1)))
    path = Path(run.directory) / "experiment.json"
    path.write_bytes(path.read_bytes().replace(b"emotions", b"emotionr"))
    assert [problem.file for problem in run.verify()] == ["experiment.json"]


def test_a_file_written_while_its_place_was_open_counts_once_recorded(run: RunDirectory) -> None:
    append(run, opened("models"))
    run.write_document("models/seed-0/model.json", {"task": "classify"})
    path = Path(run.directory) / "models/seed-0/model.json"
    path.write_bytes(path.read_bytes().replace(b"classify", b"clbssify"))
    assert [problem.file for problem in run.verify()] == ["models/seed-0/model.json"]


def test_a_torn_journal_is_reported_and_mended_by_the_next_write(run: RunDirectory) -> None:
    journal = Path(run.directory) / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"record":{"ki')
    assert ["torn" in problem.problem for problem in run.verify()] == [True]
    run.write_text("leaderboard.md", "")
    assert list(run.verify()) == []


def test_a_damaged_journal_says_the_way_out_and_the_way_works(run: RunDirectory) -> None:
    journal = Path(run.directory) / JOURNAL
    journal.write_bytes(journal.read_bytes().replace(b"leaderboard", b"leaderboarc"))
    with pytest.raises(CorruptArtifactError, match="remove it and run again"):
        run.write_text("leaderboard.md", "")
    journal.unlink()
    assert [problem.problem for problem in run.verify()] == ["is missing"]
    run.write_text("leaderboard.md", "")
    assert list(run.verify()) == []


def test_a_run_that_is_not_there_does_not_verify(tmp_path: Path) -> None:
    assert [problem.problem for problem in RunDirectory(tmp_path / "none").verify()] == ["is missing"]


def test_reading_creates_nothing(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "none")
    assert run.read_document("metrics.json") is None
    assert list(run.documents()) == []
    assert not Path(run.directory).exists()


def test_a_document_that_is_no_json_is_named(run: RunDirectory) -> None:
    (Path(run.directory) / "experiment.json").write_text('{"name": ')
    with pytest.raises(CorruptArtifactError, match=r"experiment\.json: is not JSON"):
        run.read_document("experiment.json")


def test_a_table_that_is_no_parquet_is_named(run: RunDirectory) -> None:
    (Path(run.directory) / "scores/test.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptArtifactError, match=r"test\.parquet"):
        run.read_table("scores/test.parquet")


def test_a_link_out_of_the_run_is_not_followed(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}")
    (Path(run.directory) / "secret.json").symlink_to(tmp_path / "secret.json")
    (Path(run.directory) / "out").symlink_to(tmp_path)
    for name in ("secret.json", "out/secret.json"):
        with pytest.raises(UsageError, match="symbolic link"):
            run.read_document(name)


def test_a_name_in_a_forged_journal_stays_in_the_run(run: RunDirectory, tmp_path: Path) -> None:
    append(run, {"kind": "recorded", "name": "../../etc/passwd", "sha256": "a" * 64, "bytes": 1})
    assert [problem.file for problem in run.verify()] == ["../../etc/passwd"]


def test_two_processes_do_not_write_one_run(run: RunDirectory) -> None:
    script = (
        "import sys; from fusionapp.adapters.filesystem.run_directory import RunDirectory\n"
        "with RunDirectory(sys.argv[1]).lock(): print('locked', flush=True); sys.stdin.read()"
    )
    path = str(Path(__file__).parents[2] / "src")
    with subprocess.Popen(
        [sys.executable, "-c", script, run.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": path},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(LockedError, match="emotions"):
            run.write_document("metrics.json", {})
        process.kill()
        process.wait()
        run.write_document("metrics.json", {})
