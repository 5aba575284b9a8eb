"""examples/multi-embed.toml, the very file, over tiny models, and the flags that do the same."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command_line import call
from tiny_models import DIM, save_tiny

from fusionapp.domain.catalogue import find_card
from fusionapp.entrypoints.experiment.encoder_tables import HuggingFaceSettings
from fusionapp.entrypoints.experiment.load import load_experiment

EXAMPLE = Path(__file__).parents[2] / "examples" / "multi-embed.toml"
MODELS = {"bge-large": "bge-large-en-v1.5", "e5-large": "e5-large-v2", "minilm": "all-MiniLM-L6-v2"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's data, and its models' names over tiny weights: all three are BERTs."""
    place = tmp_path_factory.mktemp("multi-embed")
    rows = [
        {"paper_id": f"astro-ph/{row // 4}", "paragraph_index": row % 4, "paragraph": f"the quick fox {row}"}
        for row in range(12)
    ]
    file = place / "data/methodology_labels/labeled_paragraphs.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(row | {"label": "x"}) + "\n" for row in rows), encoding="utf-8")
    for name in MODELS.values():
        save_tiny("bert", place / "models" / name)
    return place


def local(directory: Path) -> list[str]:
    return [
        word
        for name, model in MODELS.items()
        for word in ("--set", f"encoders.{name}.model={directory / 'models' / model}")
    ]


def commands() -> list[list[str]]:
    """The command lines that the example's comments give."""
    comments = "\n".join(
        line[1:] for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line[:1] == "#"
    )
    found = re.findall(r"^ {3}fusionapp (extract (?:.*\\\n)*.*)$", comments, re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " ")) for command in found]


def test_the_example_is_the_job_of_three_encoders_with_e5s_passage_prefix() -> None:
    experiment = load_experiment(EXAMPLE)
    assert experiment.dataset.id == ("paper_id", "paragraph_index")
    cards = {}
    for name, settings in experiment.encoders.items():
        assert isinstance(settings, HuggingFaceSettings)
        card = find_card(settings.model)
        assert card is not None
        cards[name] = (card.model.partition("/")[2], settings.prefix)
    prefixes = {"e5-large": "passage: "}
    assert cards == {name: (model, prefixes.get(name)) for name, model in MODELS.items()}


def test_the_example_and_its_flags_leave_the_same_files(directory: Path) -> None:
    from_file, from_flags = commands()
    from_file[1] = str(EXAMPLE)
    files = []
    for output, words in (("results", from_file), ("flags", from_flags)):
        words[words.index("--output") + 1] = output
        report = call(directory, *words, *local(directory), "--json").json
        assert report["complete"]
        files.append([Path(path).name for path in report["files"]])
    assert files[0] == files[1]
    for model in MODELS.values():
        vectors = np.load(directory / "results" / f"{model}.npy")
        assert vectors.shape == (12, DIM)
        np.testing.assert_array_equal(vectors, np.load(directory / "flags" / f"{model}.npy"))
        records = (directory / "results" / f"{model}.jsonl").read_text().splitlines()
        first = json.loads(records[0])
        assert (first["paper_id"], first["paragraph_index"], first["model"]) == ("astro-ph/0", 0, model)
    assert (directory / "results/embeddings/npy").is_dir()


def test_what_the_example_offers_in_comments_is_an_experiment_too() -> None:
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    offered = load_experiment(tomllib.loads(text))
    assert offered.extract.workers == 4
    settings = offered.encoders["minilm"]
    assert isinstance(settings, HuggingFaceSettings)
    assert settings.batch_tokens == 8192
