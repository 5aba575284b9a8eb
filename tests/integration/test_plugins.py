"""Encoders and stores of other packages are used like our own, by one word in the experiment."""

from __future__ import annotations

import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import call, refused

PACKAGE = Path(__file__).parents[2] / "examples" / "plugin"

ROWS = "text,label\n" + "".join(f"{word} {row},{word}\n" for row in range(12) for word in ("aaa", "zzz"))

EXPERIMENT = """
name = "letters"

[dataset]
train = "train.csv"
test = "train.csv"

[encoders.counts]
adapter = "letters"
alphabet = "az"

[storage]
adapter = "single"

[train]
seeds = 1
epochs = 3
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A job beside the installed package: its module and its metadata, as pip leaves them."""
    site = tmp_path / "site-packages"
    metadata = site / "fusionapp_letters-1.0.dist-info"
    metadata.mkdir(parents=True)
    shutil.copy(PACKAGE / "fusionapp_letters.py", site)
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    monkeypatch.syspath_prepend(site)
    job = tmp_path / "job"
    job.mkdir()
    (job / "train.csv").write_text(ROWS)
    (job / "letters.toml").write_text(EXPERIMENT)
    yield job
    sys.modules.pop("fusionapp_letters", None)


def test_another_packages_encoder_and_store_are_extracted_trained_and_predicted_with(directory: Path) -> None:
    call(directory, "train", "letters.toml")

    (line,) = call(directory, "predict", "runs/letters", "-", stdin=b"zzz and more zzz\n").lines
    assert line["label"] == "zzz"
    assert (directory / "embeddings" / "single" / "npy").is_dir()
    assert call(directory, "status", "runs/letters", "--json").json["complete"]
    assert call(directory, "verify", "runs/letters", "--json").json["ok"]


def test_its_settings_are_checked_and_listed_like_our_own(directory: Path) -> None:
    said = refused(directory, "extract", "letters.toml", "--set", "encoders.counts.alphabt=xyz", code=2)
    assert "encoders.counts.alphabt: unknown key; did you mean 'alphabet'?" in said

    said = refused(directory, "extract", "letters.toml", "--set", "encoders.counts.alphabet=3", code=2)
    assert "encoders.counts.alphabet: expected a string, got 3" in said

    assert "letters: letters to count" in " ".join(call(directory, "schema").out.split())


def test_an_adapter_that_nobody_announces_is_answered_with_all_there_are(directory: Path) -> None:
    said = refused(directory, "extract", "letters.toml", "--set", "encoders.counts.adapter=leters", code=2)
    assert "'letters', got 'leters'" in said

    said = refused(directory, "extract", "letters.toml", "--set", "storage.adapter=singel", code=2)
    assert "storage.adapter: expected one of 'npy', 'parquet', 'single', got 'singel'" in said


def test_a_package_that_cannot_be_imported_is_named(directory: Path) -> None:
    (directory.parent / "site-packages" / "fusionapp_letters.py").write_text("import not_there\n")

    said = refused(directory, "extract", "letters.toml", code=2)

    assert "letters = 'fusionapp_letters:LetterSettings' cannot be imported" in said
    assert "not_there" in said


def test_a_run_whose_package_is_gone_says_so(directory: Path) -> None:
    call(directory, "extract", "letters.toml")
    shutil.rmtree(directory.parent / "site-packages")

    said = call(directory, "extract", "letters.toml", code=2).err

    assert "encoders.counts.adapter: expected one of" in said
    assert "storage.adapter: expected one of 'npy', 'parquet', got 'single'" in said
