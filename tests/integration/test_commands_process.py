"""What only a process of its own can show: light start-up, signals, pipes, locks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

from command_line import COMMAND, call, environment, finish, start
from small_job import Job, write_rows

from fusionapp.adapters.filesystem.run_directory import RunDirectory

HEAVY = {"torch", "transformers", "datasets", "pyarrow", "scipy", "rich", "dependency_injector", "cattrs"}
PROBE = """
import sys
from fusionapp.entrypoints.main import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    """Top-level modules that a command left imported."""
    command = [sys.executable, "-c", PROBE, *words]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return set(ended.stderr.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    assert imported("--help").isdisjoint(HEAVY | {"numpy"})


def test_the_help_of_a_command_imports_no_torch() -> None:
    assert imported("extract", "--help").isdisjoint({"torch", "transformers", "datasets", "pyarrow"})


def test_the_package_imports_no_torch_until_it_is_asked_to_work() -> None:
    code = "import sys, fusionapp; fusionapp.load; fusionapp.Experiment; print('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert ended.stdout == "False\n"


def test_help_answers_at_once() -> None:
    seconds = []
    for _ in range(5):
        begun = monotonic()
        subprocess.run([*COMMAND, "--help"], env=environment(), capture_output=True, check=True)
        seconds.append(monotonic() - begun)
    assert min(seconds) < 0.5


def test_stdout_is_one_json_object_even_where_libraries_talk(fresh: Path) -> None:
    ended = finish(start(fresh, "--verbose", "extract", "tiny.toml", "--json"))
    assert ended.code == 0, ended.err
    assert ended.json["complete"]
    assert "Traceback" not in ended.err


def test_a_reader_that_goes_away_is_no_error(finished: Job, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("".join(f"happy fox {row}\n" for row in range(3000)), encoding="utf-8")
    words = [*COMMAND, "predict", "runs/tiny", str(tmp_path / "many.txt"), "--batch-size", "64"]
    process = subprocess.Popen(
        words, cwd=finished.directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["text"] == "happy fox 0"
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 0
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_the_lock_of_a_run_holds_against_another_process(job: Path) -> None:
    with RunDirectory(job / "runs/tiny").lock():
        ended = finish(start(job, "extract", "tiny.toml", "--encoder", "lexical", "--overwrite"))
    assert ended.code == 4
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_an_interrupted_extract_says_so_and_goes_on_later(fresh: Path) -> None:
    write_rows(fresh / "train.csv", 800, 1)
    words = ("extract", "tiny.toml", "--encoder", "lexical", "--set", "storage.shard_rows=4")
    process = start(fresh, *words)
    while not len(list((fresh / "embeddings").rglob("*"))) > 20:
        assert process.poll() is None, process.communicate()
        sleep(0.005)
    os.kill(process.pid, signal.SIGINT)
    ended = finish(process)
    assert ended.code == 130
    assert "interrupted: what is durable stays" in ended.err
    assert "Traceback" not in ended.err
    status = call(fresh, "status", "runs/tiny", "--json").json
    assert 0 < status["durable_rows"] < status["rows"]
    assert call(fresh, "verify", "runs/tiny", "--json").json["ok"]
    again = call(fresh, *words, "--json").json
    assert again["complete"]
    assert again["encoders"]["lexical"]["encoded_rows"] == status["rows"] - status["durable_rows"]
