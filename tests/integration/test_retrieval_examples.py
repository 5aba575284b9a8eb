"""The retrieval examples, the very files, run whole on tiny models of their architectures and tiny papers."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from random import Random

import pytest
from command_line import call
from tiny_models import save_tiny

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = ("fox", "dog", "house", "day", "rain", "quick", "brown", "lazy", "happy", "sad", "small", "red")
CATEGORIES = {
    "arxiv-retrieval.toml": ("gr-qc", "hep-th", "astro-ph.CO"),
    "astro-retrieval.toml": (
        "gr-qc",
        "hep-th",
        "astro-ph.CO",
        "math-ph",
        "cond-mat.stat-mech",
        "cs.LG",
        "cs.AI",
        "stat.ML",
        "q-bio",
    ),
}
QUICK = {
    "arxiv-retrieval.toml": (
        "encoders.minilm.device=cpu",
        "encoders.minilm.max_length=64",
        "encoders.as_it_comes.device=cpu",
        "train.device=cpu",
        "train.negatives_pool=8",
        "train.epochs=1",
        "evaluate.draws=100",
    ),
    "astro-retrieval.toml": (
        "encoders.qwen.device=cpu",
        "encoders.qwen.max_length=96",
        "train.device=cpu",
        "train.dtype=float32",
        "train.negatives_pool=12",
        "train.optimizer_batch=24",
        "train.epochs=1",
        "evaluate.draws=100",
    ),
}
PRIMARY = {"q-bio": "q-bio.NC"}
"""An archive is fetched by its name alone, but its papers are filed under its categories."""

MODELS = {"arxiv-retrieval.toml": ("minilm", "bert"), "astro-retrieval.toml": ("qwen", "qwen2")}


def write_papers(folder: Path, categories: tuple[str, ...]) -> None:
    """What `fusionapp fetch arxiv` writes: a file a category."""
    folder.mkdir(parents=True)
    random = Random(0)
    for place, category in enumerate(categories):
        with (folder / f"{category}.jsonl").open("w", encoding="utf-8") as file:
            for row in range(18):
                words = random.sample(WORDS, 3)
                paper = {
                    "id": f"{2001 + place}.{row:05}",
                    "title": f"{' '.join(words)} {place} {row}",
                    "abstract": f"the {words[2]} and the {words[0]} {row} of {words[1]} {place}",
                    "primary": PRIMARY.get(category, category),
                    "categories": [PRIMARY.get(category, category)],
                    "date": str(date(2020, 1, 1) + timedelta(days=row * len(categories) + place)),
                }
                file.write(json.dumps(paper) + "\n")


@pytest.mark.parametrize("file", CATEGORIES)
def test_a_retrieval_example_runs_from_papers_to_a_search(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    write_papers(tmp_path / "data/arxiv", CATEGORIES[file])
    name, kind = MODELS[file]
    model = save_tiny(kind, tmp_path / "models" / name, layers=2)
    names = (name, "as_it_comes") if file == "arxiv-retrieval.toml" else (name,)
    settings = (*QUICK[file], *(f"encoders.{one}.model={model}" for one in names))
    words: tuple[str | Path, ...] = (EXAMPLES / file, *(word for one in settings for word in ("--set", one)))
    run = f"runs/{Path(file).stem}"

    (trained,) = call(tmp_path, "train", *words, "--json").json["models"]
    assert 0 <= trained["validation"]["mrr@10"] <= 1
    report = call(tmp_path, "evaluate", *words, "--json").json
    assert {"hybrid", "untuned", "untuned hybrid", "bm25", "tfidf"} <= set(report["controls"])
    call(tmp_path, "index", run)
    assert len(call(tmp_path, "search", run, "a red fox", "-k", "3", "--json").json["hits"]) == 3
    if file == "astro-retrieval.toml":
        assert set(trained["drawn"]) >= {"main", "soft", "hard"}
        assert [one["mined"] is None for one in trained["rounds"]] == [True, False]
        assert {"ragas_id_precision", "ragas_id_recall"} <= set(report["result"])
        assert {row["kept as"] for row in report["vectors"]} >= {"float32", "binary rescored"}
        assert report["skipped"] == {"openai": "skipped: no key (OPENAI_API_KEY is not set)"}
