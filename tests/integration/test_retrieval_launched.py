"""`torchrun ... fusionapp train`: one process leads, the others tune with it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import COMMAND, SOURCES, call
from safetensors.numpy import load_file
from small_search import write_search

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python")
SETTINGS = (
    "--set",
    "train.seeds=1",
    "--set",
    "train.mining.rounds=1",
    "--set",
    "train.learning_rate=3e-3",
    "--set",
    "train.epochs=6",
)


def launch(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *LAUNCHER, *COMMAND, *words],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.slow
def test_two_processes_mine_and_tune_as_one_does(tmp_path: Path) -> None:
    write_search(tmp_path)
    ended = launch(tmp_path, "train", "s.toml", *SETTINGS, "--runs", "two", "--json")
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stdout.splitlines()
    (two,) = json.loads(line)["models"]
    (one,) = call(tmp_path, "train", "s.toml", *SETTINGS, "--runs", "one", "--json").json["models"]
    assert [each["mined"] for each in two["rounds"]] == [each["mined"] for each in one["rounds"]]
    assert two["best_step"] == one["best_step"]
    assert two["validation"]["mrr@10"] == pytest.approx(one["validation"]["mrr@10"])
    weights, others = (load_file(tmp_path / each["directory"] / "model.safetensors") for each in (one, two))
    for name, right in weights.items():
        # The gradient of a key's bias is 0 by nature; Adam would scale its rounding errors up to whole steps.
        if "key.bias" not in name:
            np.testing.assert_allclose(others[name], right, rtol=0, atol=1e-3, err_msg=name)
    call(tmp_path, "verify", "two/s")
    again = launch(tmp_path, "train", "s.toml", *SETTINGS, "--runs", "two", "--json")
    assert json.loads(again.stdout)["reused"]


@pytest.mark.slow
def test_what_the_first_process_refuses_ends_them_all(tmp_path: Path) -> None:
    write_search(tmp_path)
    ended = launch(tmp_path, "train", "s.toml", "--set", "train.matryoshka_dims=[64]")
    assert ended.returncode != 0
    assert ended.stderr.count("error: train.matryoshka_dims: 64") == 1
