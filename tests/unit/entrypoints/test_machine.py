"""What is said about the machine is what is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusionapp.adapters.machine.diagnosis import diagnose, optional_packages
from fusionapp.adapters.machine.environment import describe_environment, git_commit
from fusionapp.adapters.machine.onnx_providers import CPU, CUDA, choose_providers
from fusionapp.adapters.machine.packages import EXCLUSIVE, installed_version, refuse_conflicts
from fusionapp.domain.errors import UsageError


@pytest.mark.parametrize(("cpu", "gpu"), EXCLUSIVE)
def test_two_packages_with_the_same_module_are_refused_by_name(cpu: str, gpu: str) -> None:
    with pytest.raises(UsageError, match=f"{cpu} and {gpu} are both installed.*pip uninstall"):
        refuse_conflicts(lambda package: "1.0" if package in (cpu, gpu) else None)


@pytest.mark.parametrize("package", [name for pair in EXCLUSIVE for name in pair])
def test_one_of_a_pair_alone_is_fine(package: str) -> None:
    refuse_conflicts(lambda name: "1.0" if name == package else None)


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert installed_version("no-such-package-anywhere") is None
    assert installed_version("numpy") is not None


def test_the_cpu_needs_no_proof() -> None:
    assert choose_providers("cpu", lambda _: pytest.fail("no session is opened")) == [CPU]


def test_cuda_that_loads_is_taken_first() -> None:
    assert choose_providers("cuda:0", lambda asked: asked) == [CUDA, CPU]


def test_cuda_that_was_asked_for_and_does_not_load_is_never_the_cpu_in_silence() -> None:
    with pytest.raises(UsageError, match="'cuda': onnxruntime does not load CUDAExecutionProvider"):
        choose_providers("cuda", lambda _: [CPU])


def test_a_real_session_proves_what_loads() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this installation has CUDA")
    with pytest.raises(UsageError, match=f"it has {CPU}"):
        choose_providers("cuda")


def test_the_description_of_the_environment_is_json_and_keeps_no_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    described = describe_environment("cpu")
    assert {"python", "processor", "cores", "memory_bytes", "device", "packages", "git_commit"} <= set(
        described
    )
    assert "secret" not in json.dumps(described)
    assert described["packages"]["torch"]


def test_an_automatic_device_is_kept_as_the_one_that_it_was() -> None:
    torch = pytest.importorskip("torch")
    expected = "cuda:0" if torch.cuda.is_available() else "cpu"
    assert describe_environment("auto")["device"] == expected


def test_outside_git_there_is_no_commit(tmp_path: Path) -> None:
    assert git_commit(tmp_path) is None


def test_the_diagnosis_names_processor_packages_token_and_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    findings = {finding.subject: finding for finding in diagnose(None, str(tmp_path / "new" / "er"), None)}
    assert {"processor", "torch", "packages", "HF_TOKEN", "disk for embeddings"} <= set(findings)
    assert findings["disk for embeddings"].status in ("ok", "problem")
    assert not any("secret" in finding.detail for finding in findings.values())


def test_an_optional_package_that_is_absent_says_which_extra_brings_it(tmp_path: Path) -> None:
    absent = [one for one in diagnose(None, str(tmp_path), None) if one.status == "absent"]
    assert all("install the extra" in one.detail for one in absent if one.subject != "HF_TOKEN")


def test_a_gpu_build_is_not_advised_to_install_the_cpu_build_beside_it() -> None:
    findings = optional_packages(lambda package: "1.0" if package.endswith("-gpu") else None)
    assert [one.subject for one in findings if one.status == "ok"] == ["onnxruntime-gpu", "faiss-gpu"]


def test_a_device_that_does_not_work_is_a_problem(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    findings = {finding.subject: finding for finding in diagnose("cuda", str(tmp_path), None)}
    assert findings["torch on cuda"].status == "problem"
