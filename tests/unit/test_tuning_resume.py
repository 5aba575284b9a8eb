"""A run that is killed goes on to the very weights of one that is not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.heads import CountingProgress
from fakes.tracker import RecordingTracker
from safetensors.numpy import load_file
from tiny_models import tiny_model
from tuning_pairs import recipe, toy_pairs

from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.tuner import CHECKPOINTS, HuggingFaceTuner
from fusionapp.adapters.torch_shared.shard import cpu_threads
from fusionapp.application.ports.encoder_tuner import TunedEncoder
from fusionapp.domain.errors import CorruptArtifactError

TESTS = Path(__file__).parents[1]
CHANGES: dict[str, Any] = {
    "method": "lora",
    "epochs": 2,
    "dropout": 0.1,
    "checkpoint_steps": 2,
    "learn_temperature": True,
    "batch_tokens": 64,
}


class InterruptingTracker(RecordingTracker):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step

    def log(self, run: str, step: int, metrics: Any) -> None:
        super().log(run, step, metrics)
        if step == self._step:
            raise KeyboardInterrupt


def tune(
    directory: Path, tracker: RecordingTracker | None = None, seed: int = 3, **changes: Any
) -> TunedEncoder:
    with cpu_threads(1):
        return HuggingFaceTuner(EncoderSettings(str(tiny_model("bert")))).tune(
            recipe(**{**CHANGES, **changes}),
            seed,
            toy_pairs(),
            toy_pairs(),  # an encoder finds what it was trained on, so that its best step is not the first
            str(directory),
            tracker or RecordingTracker(),
            CountingProgress(),
        )


def weights(directory: Path) -> dict[str, Any]:
    return dict(load_file(directory / "model" / "model.safetensors"))


def run_child(directory: Path, settings: dict[str, Any], *launcher: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "src")])
    script = [str(TESTS / "tuner_child.py"), str(tiny_model("bert")), str(directory), json.dumps(settings)]
    return subprocess.run(
        [sys.executable, *launcher, *script],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_a_killed_run_reaches_the_same_bits(tmp_path: Path) -> None:
    assert run_child(tmp_path / "killed", {**CHANGES, "kill": 7}).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model").exists()
    tracker = RecordingTracker()
    resumed = tune(tmp_path / "killed", tracker)
    assert min(step for _, step, _ in tracker.logged) == 7
    whole = tune(tmp_path / "whole")
    for name, right in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "killed")[name], right)
    assert (resumed.best_step, resumed.validation) == (whole.best_step, whole.validation)
    assert resumed.untuned == whole.untuned


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "muon", "adamw8bit"])
def test_every_optimiser_goes_on_to_the_same_bits(optimizer: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"method": "full", "optimizer": optimizer, "dropout": 0.0, "epochs": 1}
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path / "stopped", InterruptingTracker(5), **changes)
    tune(tmp_path / "stopped", **changes)
    tune(tmp_path / "whole", **changes)
    for name, right in weights(tmp_path / "whole").items():
        np.testing.assert_array_equal(weights(tmp_path / "stopped")[name], right)


@pytest.mark.parametrize("change", [{"learning_rate": 2e-3}, {"seed": 4}, {"negatives_pool": 6}])
def test_another_recipe_or_seed_begins_anew(change: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, InterruptingTracker(5))
    tracker = RecordingTracker()
    tune(tmp_path, tracker, **change)
    assert min(step for _, step, _ in tracker.logged) == 0


def test_how_often_checkpoints_are_written_is_no_other_recipe(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, InterruptingTracker(5))
    tracker = RecordingTracker()
    tune(tmp_path, tracker, checkpoint_steps=3)
    assert min(step for _, step, _ in tracker.logged) == 5


def test_a_changed_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, InterruptingTracker(5))
    (path,) = (tmp_path / CHECKPOINTS).glob("step-*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptArtifactError, match=path.name):
        tune(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1}', b"\xff"])
def test_a_state_that_describes_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / CHECKPOINTS
    folder.mkdir()
    (folder / "state.json").write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=r"state\.json"):
        tune(tmp_path)


def test_checkpoints_are_gone_when_training_is_done(tmp_path: Path) -> None:
    tune(tmp_path)
    assert not (tmp_path / CHECKPOINTS).exists()


def test_at_most_two_files_of_weights_are_kept(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, InterruptingTracker(9))
    assert len(list((tmp_path / CHECKPOINTS).glob("*.safetensors"))) <= 2


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": "full", "epochs": 2, "evaluations": 3, "batch_tokens": 64}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    done = run_child(tmp_path / "two", settings, *launcher)
    assert done.returncode == 0, done.stderr
    tune(tmp_path / "one", **{**settings, "dropout": 0.0, "learn_temperature": False})
    two, one = weights(tmp_path / "two"), weights(tmp_path / "one")
    start = load_file(tiny_model("bert") / "model.safetensors")
    moved = 0
    for name, right in one.items():
        # The gradient of a key's bias is 0 by nature; Adam would scale its rounding errors up to whole steps.
        if "key.bias" in name:
            continue
        moved += np.abs(right - start[name]).max() > 1e-2
        np.testing.assert_allclose(two[name], right, rtol=0, atol=1e-4)
    assert moved > 20
