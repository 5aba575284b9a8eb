"""Every example, the very file, run whole: tiny models of its architectures, tiny data of its columns."""

from __future__ import annotations

import csv
import re
import runpy
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
import datasets
import pytest
from command_line import call
from tiny_models import save_tiny

from fusionapp.domain.catalogue import EncoderCard, find_card
from fusionapp.entrypoints.experiment.encoder_tables import HuggingFaceSettings
from fusionapp.entrypoints.experiment.load import load_experiment
from fusionapp.entrypoints.experiment.schema import Experiment

EXAMPLES = Path(__file__).parents[2] / "examples"
ELSEWHERE = ("sweep.toml", "stored-embeddings.toml", "multi-embed.toml")
"""Examples with tests of their own: test_sweep_example.py, test_import.py, test_multi_embed.py."""
RETRIEVAL = ("arxiv-retrieval.toml", "astro-retrieval.toml")
ROUTING = tuple(path.name for path in EXAMPLES.glob("llm-router*.toml"))
OTHERS = (*ELSEWHERE, *RETRIEVAL, *ROUTING)
EXPERIMENTS = sorted(path for path in EXAMPLES.glob("*.toml") if path.name not in OTHERS)
WORDS = ("sad", "lonely", "rain", "happy", "thank", "good", "quick", "fox", "house", "dog", "day", "red")
QUICK = (
    "train.epochs=2",
    "train.seeds=2",
    "train.hidden_dims=[16]",
    "train.linear_costs=[1.0]",
    "train.linear_folds=2",
    "fusion.product_dim=64",
    "evaluate.draws=100",
    "evaluate.costs=[1.0]",
)
LIKE = {
    "gemma": "gemma2",
    "qwen": "qwen2",
    "llama": "llama",
    "bert-large": "bert",
    "roberta-large": "roberta",
    "minilm": "bert",
}
"""The tiny architecture that stands for each alias."""
TINY_LAYERS = 5


@attrs.frozen
class Case:
    """An example and what it needs.

    Attributes:
        file: its name in examples/.
        write: lays its data into a directory and returns the settings that point there.
        classes: how many labels its data have.
        published: settings that turn on everything its comments offer of the published system.
    """

    file: str
    write: Callable[[Path], list[str]]
    classes: int
    published: tuple[str, ...] = ()


def rows(count: int, classes: int, seed: int) -> list[tuple[str, int]]:
    """Texts whose words tell their class; every class occurs where there are enough rows."""
    random = Random(seed)
    labels = [row % classes for row in range(count)]
    return [
        (f"{WORDS[label % 12]} {WORDS[label // 3]} {random.choice(WORDS)} {seed} {row}", label)
        for row, label in enumerate(labels)
    ]


def write_emotion_files(directory: Path) -> list[str]:
    """data/goemotions as users have it: integer labels, their names in a file, a column that is not read."""
    folder = directory / "data" / "goemotions"
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate({"train": 81, "valid": 27, "test": 30}.items()):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "aug_text", "label"])
            writer.writerows([text, "", label] for text, label in rows(count, 27, seed))
    names = "".join(f"emotion-{label} {label}\n" for label in range(27))
    (folder / "label2idx.txt").write_text(names, encoding="utf-8")
    return []


def write_dialogues(directory: Path) -> list[str]:
    """Empathetic Dialogues as the hub has it: names as labels, a split called valid, a column of turns."""
    splits = {
        name: datasets.Dataset.from_dict(
            {
                "conv_id": [f"hit:{row}" for row in range(count)],
                "situation": [text for text, _ in rows(count, 32, seed)],
                "emotion": [f"emotion-{label}" for _, label in rows(count, 32, seed)],
                "conversations": [[{"content": "hello", "role": "user"}]] * count,
            }
        )
        for seed, (name, count) in enumerate({"train": 96, "valid": 32, "test": 32}.items())
    }
    datasets.DatasetDict(splits).save_to_disk(str(directory / "ed"))
    return ["dataset.name=ed"]


def write_news(directory: Path) -> list[str]:
    """Reuters as the hub has it: integer labels."""
    splits = {
        name: datasets.Dataset.from_dict(
            {
                "text": [text for text, _ in rows(count, 8, seed)],
                "label": [label for _, label in rows(count, 8, seed)],
            }
        )
        for seed, (name, count) in enumerate({"train": 64, "validation": 16, "test": 24}.items())
    }
    datasets.DatasetDict(splits).save_to_disk(str(directory / "r8"))
    return ["dataset.name=r8"]


LLMEMBED = ("fusion.normalize=false", "fusion.power=paper", "train.linear_path=none")
CASES = (
    Case("emotions.toml", write_emotion_files, 27),
    Case("llmembed-goemotions.toml", write_emotion_files, 27, LLMEMBED),
    Case("llmembed-ed.toml", write_dialogues, 32, LLMEMBED),
    Case("dual-fusion.toml", write_news, 8),
)


def encoders(experiment: Experiment) -> dict[str, tuple[HuggingFaceSettings, EncoderCard]]:
    """The transformers of an experiment and their cards."""
    found = {}
    for name, settings in experiment.encoders.items():
        if isinstance(settings, HuggingFaceSettings):
            card = find_card(settings.model)
            assert card is not None, f"{name}: {settings.model} is no alias"
            found[name] = (settings, card)
    return found


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model for each alias, named by it."""
    directory = tmp_path_factory.mktemp("models")
    for alias, kind in LIKE.items():
        save_tiny(kind, directory / alias, TINY_LAYERS)
    return directory


def settings_for(case: Case, directory: Path, models: Path) -> list[str]:
    """``--set`` words: local models and data, and a training that takes a second."""
    experiment = load_experiment(EXAMPLES / case.file)
    local = [
        f"encoders.{name}.model={models / card.alias}" for name, (_, card) in encoders(experiment).items()
    ]
    return [word for value in (*QUICK, *local, *case.write(directory)) for word in ("--set", value)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_an_example_runs_from_texts_to_a_prediction(case: Case, tmp_path: Path, models: Path) -> None:
    words: Sequence[Any] = (EXAMPLES / case.file, *settings_for(case, tmp_path, models))
    name = load_experiment(EXAMPLES / case.file).name

    assert call(tmp_path, "extract", *words, "--json").json["complete"]
    assert len(call(tmp_path, "train", *words, "--json").json["models"]) == 2
    report = call(tmp_path, "evaluate", *words, "--json").json
    assert 0 <= report["result"]["accuracy"]["mean"] <= 1
    assert "linear_svm" in report["controls"]
    (found,) = call(tmp_path, "predict", f"runs/{name}", stdin=b"what a sad and lonely day\n").lines
    assert len(found["probabilities"]) == case.classes


@pytest.mark.parametrize("case", [case for case in CASES if case.published], ids=lambda case: case.file)
def test_the_published_choices_of_an_example_train(case: Case, tmp_path: Path, models: Path) -> None:
    words = settings_for(case, tmp_path, models)
    for choice in case.published:
        words += ["--set", choice]
    trained = call(tmp_path, "train", EXAMPLES / case.file, *words, "--json").json
    assert all(0 <= model["validation"]["accuracy"] <= 1 for model in trained["models"])


def test_every_example_is_an_experiment() -> None:
    read = {path.name: load_experiment(path) for path in EXPERIMENTS}
    assert set(read) == {"own-csv.toml", *(case.file for case in CASES)}
    for experiment in read.values():
        assert encoders(experiment)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_what_an_example_offers_in_comments_is_an_experiment_too(path: Path) -> None:
    table, offered = "", {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := re.match(r"(?:# )?\[([\w.]+)\]", line):
            table = header[1]
        elif setting := re.match(r"# (\w+) = (.*)", line):
            (offered[f"{table}.{setting[1]}"],) = tomllib.loads(f"value = {setting[2]}").values()
    load_experiment(path, flags=offered)


@pytest.mark.parametrize("file", ["llmembed-goemotions.toml", "llmembed-ed.toml"])
def test_llmembed_fuses_seven_views_of_1024_in_five_runs(file: str) -> None:
    experiment = load_experiment(EXAMPLES / file)
    views = [
        (card.dim, settings.layers, settings.pooling) for settings, card in encoders(experiment).values()
    ]
    assert views == [(4096, (-5, -4, -3, -2, -1), "mean"), (1024, (-1,), "cls"), (1024, (-1,), "cls")]
    assert experiment.fusion.kind == "cooccurrence"
    assert experiment.train.seeds == 5
    assert experiment.train.hidden_dims == (1024, 256)


def test_goemotions_of_the_hub_loses_its_neutral_and_its_ambiguous_rows(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "labels": datasets.Sequence(datasets.ClassLabel(names=["joy", "neutral", "love"])),
        }
    )
    split = datasets.Dataset.from_dict(
        {"text": ["a", "b", "c", "d, e"], "labels": [[0], [1], [0, 2], [2]]}, features=features
    )
    write: Any = runpy.run_path(str(EXAMPLES / "goemotions_csv.py"))["write_goemotions"]
    write({"train": split, "validation": split, "test": split}, tmp_path)
    with (tmp_path / "valid.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [{"text": "a", "label": "0"}, {"text": "d, e", "label": "1"}]
    assert (tmp_path / "label2idx.txt").read_text(encoding="utf-8") == "joy 0\nlove 1\n"
