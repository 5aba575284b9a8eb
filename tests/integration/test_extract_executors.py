"""`fusionapp extract` in other processes: the same bytes, whoever dies, and nobody left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from multiprocessing import active_children
from pathlib import Path
from shutil import copytree, ignore_patterns
from subprocess import Popen
from time import monotonic, sleep

import pytest
from command_line import call, finish, refused, start
from fakes.disks import largest_file
from process_tree import children, descendants, kill, seconds_until_gone, workers
from small_job import Job, write_rows
from torture import stored

ROWS = 400
LEXICAL = ("extract", "tiny.toml", "--set", "storage.shard_rows=2", "--encoder", "lexical")
BERT = ("extract", "tiny.toml", "--set", "storage.shard_rows=4", "--encoder", "bert")
INTERRUPTED = "interrupted: what is durable stays; run the same command to go on"
PROCESSES = ("--executor", "processes", "--workers", "2")
WORDS = {
    "local": ("--executor", "local"),
    "processes": PROCESSES,
    "ray": ("--executor", "ray", "--workers", "2"),
}


@pytest.fixture(scope="module")
def larger(finished: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small experiment with enough rows to be disturbed, not extracted yet."""
    directory = tmp_path_factory.mktemp("larger") / "job"
    copytree(finished.directory, directory, ignore=ignore_patterns("runs", "embeddings"))
    write_rows(directory / "train.csv", ROWS, 3)
    return directory


@pytest.fixture(scope="module")
def whole(larger: Path) -> dict[str, bytes]:
    """What an undisturbed run in one process leaves."""
    return undisturbed(larger, LEXICAL)


@pytest.fixture
def begun(larger: Path, tmp_path: Path) -> Path:
    return Path(copytree(larger, tmp_path / "begun"))


def undisturbed(larger: Path, words: Sequence[str]) -> dict[str, bytes]:
    directory = Path(copytree(larger, larger.parent / f"whole-{words[-1]}"))
    call(directory, *words)
    return stored(directory)


def wait_for_shards(directory: Path, process: Popen[str], count: int) -> None:
    """Until so many shards stand in the store."""
    deadline = monotonic() + 120
    while len(list(directory.glob("embeddings/npy/*/shard-*.npy*"))) < count:
        assert process.poll() is None, process.communicate()
        assert monotonic() < deadline
        sleep(0.005)


def test_workers_write_the_bytes_that_one_process_writes(begun: Path, whole: dict[str, bytes]) -> None:
    call(begun, *LEXICAL, *PROCESSES)

    assert stored(begun) == whole
    assert not active_children()


def test_a_worker_that_is_killed_is_replaced_and_named_and_the_bytes_are_the_same(
    begun: Path, whole: dict[str, bytes]
) -> None:
    process = start(begun, *LEXICAL, *PROCESSES)
    wait_for_shards(begun, process, 3)
    kill(workers(process.pid)[0])

    ended = finish(process)

    assert ended.code == 0
    assert "a worker process died by signal 9; it is replaced" in ended.err
    assert stored(begun) == whole


def test_workers_that_die_at_every_attempt_end_the_run_and_what_is_durable_stays(
    begun: Path, whole: dict[str, bytes]
) -> None:
    process = start(begun, *LEXICAL, *PROCESSES)
    wait_for_shards(begun, process, 3)
    while process.poll() is None:
        for pid in workers(process.pid):
            kill(pid)

    ended = finish(process)

    assert ended.code == 7, ended
    assert "died 3 times" in ended.err.splitlines()[-1]
    assert "Traceback" not in ended.err
    kept = call(begun, "status", "runs/tiny", "--json").json["durable_rows"]
    assert 0 < kept < ROWS
    again = call(begun, *LEXICAL, *PROCESSES, "--json").json
    assert again["encoders"]["lexical"]["encoded_rows"] == again["rows"] - kept
    assert stored(begun) == whole


def test_workers_do_not_outlive_a_killed_parent_and_one_process_resumes_its_run(
    begun: Path, whole: dict[str, bytes]
) -> None:
    process = start(begun, *LEXICAL, *PROCESSES)
    wait_for_shards(begun, process, 3)
    family = descendants(process.pid)
    process.kill()

    assert seconds_until_gone(family, limit=5) < 2
    assert "Traceback" not in finish(process).err
    call(begun, *LEXICAL, *WORDS["local"])
    assert stored(begun) == whole


def test_an_interrupt_of_the_whole_group_is_quiet_and_quick_and_the_run_goes_on_later(
    begun: Path, whole: dict[str, bytes]
) -> None:
    process = start(begun, *LEXICAL, *PROCESSES, group=True)
    wait_for_shards(begun, process, 3)
    family = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does at Ctrl-C

    ended = finish(process)

    assert ended.code == 130
    assert ended.err.strip() == INTERRUPTED
    assert seconds_until_gone(family, limit=5) < 2
    call(begun, *LEXICAL, *PROCESSES)
    assert stored(begun) == whole


def test_an_interrupt_while_workers_start_is_quiet_too(begun: Path) -> None:
    process = start(begun, *LEXICAL, *PROCESSES, group=True)
    while not workers(process.pid):
        assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGINT)

    ended = finish(process)

    assert ended.code == 130
    assert ended.err.strip() == INTERRUPTED


def test_a_disk_that_becomes_full_ends_the_workers_too(begun: Path) -> None:
    write_rows(begun / "train.csv", 3000, 3)
    words = ("extract", "tiny.toml", "--encoder", "lexical", "--set", "storage.shard_rows=1500")
    with largest_file(300_000):
        message = refused(begun, *words, *PROCESSES, code=7)

    assert "free some space" in message
    assert not active_children()


def test_a_dead_service_is_exit_6_from_a_worker_too(begun: Path) -> None:
    served = ("--set", "encoders.served.adapter=openai", "--set", "encoders.served.model=m")
    nobody = ("--set", "encoders.served.base_url=http://127.0.0.1:9/v1", "--set", "encoders.served.dim=4")
    words = ("--encoder", "served", "--set", "encoders.served.retries=0", *PROCESSES)
    message = refused(begun, "extract", "tiny.toml", *served, *nobody, *words, code=6)

    assert "127.0.0.1:9" in message


@pytest.mark.slow
def test_a_text_that_is_not_to_be_cut_is_named_by_its_row_from_a_worker_too(begun: Path) -> None:
    words = ("--set", "encoders.bert.max_length=8", "--set", "encoders.bert.on_truncate=error")
    by = {name: refused(begun, *BERT, *words, *WORDS[name], code=2) for name in ("local", "processes")}

    assert "row 0" in by["local"]
    assert by["processes"] == by["local"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("words", [LEXICAL, BERT], ids=["lexical", "bert"])
@pytest.mark.parametrize(
    ("first", "second"), [("processes", "ray"), ("ray", "local"), ("local", "processes")]
)
def test_any_executor_resumes_the_killed_run_of_another_to_the_same_bytes(
    larger: Path, begun: Path, words: tuple[str, ...], first: str, second: str
) -> None:
    if "ray" in (first, second):
        pytest.importorskip("ray", reason="the extra `distributed` is not installed")
    process = start(begun, *words, *WORDS[first])
    wait_for_shards(begun, process, 8)
    family = descendants(process.pid)
    process.kill()
    assert seconds_until_gone(family, limit=60) < 30
    finish(process)
    half = stored(begun)

    ended = finish(start(begun, *words, *WORDS[second]))

    assert ended.code == 0, ended.err
    directory = larger.parent / f"whole-{words[-1]}"
    expected = stored(directory) if directory.exists() else undisturbed(larger, words)
    assert stored(begun) == expected
    assert len(half) < len(expected)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_embedded_ray_cluster_ends_with_an_interrupt_or_with_its_parent(begun: Path) -> None:
    pytest.importorskip("ray", reason="the extra `distributed` is not installed")
    process = start(begun, *LEXICAL, *WORDS["ray"], group=True)
    wait_for_shards(begun, process, 3)
    family = descendants(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert seconds_until_gone(family, limit=60) < 10

    process = start(begun, *LEXICAL, "--set", "storage.shard_rows=1", "--overwrite", *WORDS["ray"])
    while len(children(process.pid)) < 3:
        assert process.poll() is None, process.communicate()
        sleep(0.05)
    sleep(8)  # until all that Ray starts has started
    family = descendants(process.pid)
    process.kill()
    assert seconds_until_gone(family, limit=60) < 30
    finish(process)
