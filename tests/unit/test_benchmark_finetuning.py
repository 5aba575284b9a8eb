"""The benchmark of methods of fine-tuning, on tiny encoders."""

from __future__ import annotations

import json
from pathlib import Path

import finetuning_methods
import pytest
from finetuning_methods import Job, measure, table
from tiny_models import tiny_model

from fusionapp.domain.errors import UsageError

pytest.importorskip("peft", reason="the extra `tune` is not installed")


def job(kind: str) -> Job:
    return Job(str(tiny_model(kind)), pairs=2, tokens=16, steps=2, device="cpu")


def test_a_method_is_measured() -> None:
    found = measure(job("bert"), "lora")
    assert found["share"] == found["trainable"] / found["parameters"]
    assert 0 < found["share"] < 1
    assert found["pairs_per_second"] == pytest.approx(2 / found["step_seconds"])
    assert found["peak_memory_bytes"] > 4 * found["parameters"]


def test_full_trains_more_than_the_last_layers_and_those_more_than_biases() -> None:
    shares = [measure(job("bert"), name)["share"] for name in ("full", "last_layers", "bitfit")]
    assert shares == sorted(shares, reverse=True)


def test_a_method_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="bitfit"):
        measure(job("llama"), "bitfit")


def test_a_refusal_is_a_row_of_its_own() -> None:
    assert "| bitfit | it has no biases | | | |" in table(
        [{"method": "bitfit", "refused": "it has no biases"}]
    )


@pytest.mark.slow
def test_the_results_are_written_with_settings_and_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "results.json"
    options = [
        "--methods",
        "lora",
        "bitfit",
        "--pairs",
        "2",
        "--tokens",
        "16",
        "--steps",
        "1",
        "--rounds",
        "1",
    ]
    finetuning_methods.main(
        ["--model", str(tiny_model("llama")), *options, "--device", "cpu", "--output", str(output)]
    )
    content = json.loads(output.read_text())
    assert [row["method"] for row in content["results"]] == ["lora", "bitfit"]
    assert "refused" in content["results"][1]
    assert content["settings"]["model"] == "llama"
    assert "| lora |" in capsys.readouterr().out
