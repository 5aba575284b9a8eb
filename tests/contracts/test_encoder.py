"""What every encoder keeps to, whatever it is made of."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np
import pytest
from exported import exported, opened
from fakes.embedding_server import shared_server
from fakes.encoders import CountingEncoder, FailingEncoder
from numpy.typing import NDArray
from scipy.sparse import csr_array
from tiny_models import TEXTS, tiny_model
from tiny_pipelines import tiny_pipeline

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.adapters.openai_compatible.encoder import OpenAIEncoder
from fusionapp.adapters.sentence_transformers.encoder import SentenceTransformersEncoder
from fusionapp.application.ports.encoder import Encoder
from fusionapp.domain.embeddings import Embeddings, fingerprint


@attrs.frozen
class Case:
    """How to build an encoder, and settings that each make another one of it."""

    build: Callable[..., Encoder]
    changes: tuple[Mapping[str, Any], ...]
    max_tokens: int | None


def _tiny(kind: str) -> Callable[..., Encoder]:
    def build(**settings: Any) -> Encoder:
        defaults: dict[str, Any] = {"layers": (1, -1), "dtype": "float32", "device": "cpu", "max_length": 24}
        return HuggingFaceEncoder(str(tiny_model(kind)), **(defaults | settings))

    return build


def _served(**settings: Any) -> Encoder:
    defaults: dict[str, Any] = {"model": "hash", "base_url": shared_server().base_url, "max_length": 24}
    return OpenAIEncoder(**(defaults | settings))


_MODEL_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"layers": (-1,)},
    {"layers": "all"},
    {"pooling": "cls"},
    {"prefix": "query: "},
    {"max_length": 20},
    {"normalize": True},
    {"padding_side": "left"},
    {"dtype": "auto"},
)
_SERVED_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"model": "other"},
    {"base_url": "http://127.0.0.1:9/v1"},
    {"dimensions": 4},
    {"prefix": "query: "},
    {"max_length": 20},
    {"normalize": True},
)

_PIPELINE_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"prefix": "query: "},
    {"max_length": 20},
    {"normalize": True},
    {"dtype": "auto"},
)


def _pipeline(kind: str) -> Callable[..., Encoder]:
    def build(**settings: Any) -> Encoder:
        defaults: dict[str, Any] = {"dtype": "float32", "device": "cpu"}
        return SentenceTransformersEncoder(str(tiny_pipeline(kind)), **(defaults | settings))

    return build


def _graph(**wishes: Any) -> Encoder:
    whole: dict[str, Any] = {"layers": (1, -1), "max_length": 24, **wishes}
    return opened(exported("bert", **whole))


_GRAPH_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"layers": (-1,)},
    {"pooling": "cls"},
    {"prefix": "query: "},
    {"max_length": 20},
    {"normalize": True},
    {"int8": True},
)


CASES = {
    "counting": Case(CountingEncoder, ({"layers": 1}, {"dim": 4}, {"max_length": 9}, {"name": "b"}), 64),
    "failing": Case(FailingEncoder, ({"layers": 1},), 64),
    "lexical": Case(LexicalEncoder, ({"word_ngrams": (1, 1)}, {"char_ngrams": (3, 4)}, {"dim": 99}), None),
    "bert": Case(_tiny("bert"), _MODEL_CHANGES, 24),
    "llama": Case(_tiny("llama"), _MODEL_CHANGES, 24),
    "dense": Case(_pipeline("dense"), _PIPELINE_CHANGES, 24),
    "layers": Case(_pipeline("layers"), _PIPELINE_CHANGES, 24),
    "cnn": Case(_pipeline("cnn"), _PIPELINE_CHANGES, 24),
    "lstm": Case(_pipeline("lstm"), _PIPELINE_CHANGES, 24),
    "openai": Case(_served, _SERVED_CHANGES, 24),
    "graph": Case(_graph, _GRAPH_CHANGES, 24),
}


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture(scope="module")
def encoder(case: Case) -> Encoder:
    return case.build()


def vectors(encoder: Encoder, texts: list[str]) -> NDArray[np.float32]:
    return dense(encoder.encode(texts, encoder.plan(len(texts))).embeddings)


def dense(embeddings: Embeddings) -> NDArray[np.float32]:
    return embeddings.toarray() if isinstance(embeddings, csr_array) else embeddings


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


def test_the_embeddings_have_the_shape_and_type_that_were_announced(encoder: Encoder) -> None:
    encoding = encoder.encode(list(TEXTS), encoder.plan(len(TEXTS)))

    shape = encoder.shape
    expected = (len(TEXTS), shape.dim) if shape.sparse else (len(TEXTS), shape.layers, shape.dim)
    assert encoding.embeddings.shape == expected
    assert encoding.embeddings.dtype == np.float32
    assert isinstance(encoding.embeddings, csr_array) is shape.sparse
    assert encoding.truncated.shape == encoding.failed.shape == (len(TEXTS),)
    assert not encoding.failed.any()


def test_rows_stand_in_input_order_and_do_not_depend_on_their_neighbours(encoder: Encoder) -> None:
    together = vectors(encoder, list(TEXTS))

    alone = np.concatenate([vectors(encoder, [text]) for text in TEXTS])

    assert relative_error(together, alone) <= 1e-5


def test_the_same_texts_give_the_same_bytes(encoder: Encoder) -> None:
    assert vectors(encoder, list(TEXTS)).tobytes() == vectors(encoder, list(TEXTS)).tobytes()


def test_the_batch_budget_does_not_change_a_vector(encoder: Encoder) -> None:
    plan = encoder.plan(len(TEXTS))

    small = encoder.encode(list(TEXTS), attrs.evolve(plan, batch_tokens=8))

    assert relative_error(dense(small.embeddings), vectors(encoder, list(TEXTS))) <= 1e-5


def test_no_texts_give_no_rows(encoder: Encoder) -> None:
    encoding = encoder.encode([], encoder.plan(0))

    assert encoding.embeddings.shape[0] == 0
    assert encoding.embeddings.shape[-1] == encoder.shape.dim
    assert encoding.truncated.shape == encoding.failed.shape == (0,)


def test_equal_texts_get_equal_vectors_and_others_do_not(encoder: Encoder) -> None:
    first, other, again = vectors(encoder, [TEXTS[0], TEXTS[1], TEXTS[0]])

    assert np.allclose(first, again, rtol=1e-5, atol=1e-5)
    assert not np.allclose(first, other, rtol=1e-2, atol=1e-2)


def test_odd_texts_come_back_finite(encoder: Encoder) -> None:
    odd = ["\0", "\ud800 lone", "e\u0301", "😀😀", "word" * 500, "\u200b", "tab\tand\nnewline"]

    encoding = encoder.encode(odd, encoder.plan(len(odd)))

    assert np.isfinite(dense(encoding.embeddings)).all()


def test_the_identity_is_json_and_the_same_for_equal_settings(case: Case, encoder: Encoder) -> None:
    assert json.loads(json.dumps(encoder.identity)) == encoder.identity
    assert fingerprint(case.build().identity) == fingerprint(encoder.identity)


def test_every_setting_that_changes_a_vector_changes_the_identity(case: Case) -> None:
    builds = [case.build(), *(case.build(**change) for change in case.changes)]

    assert len({fingerprint(built.identity) for built in builds}) == len(builds)


def test_a_closed_encoder_encodes_again(case: Case) -> None:
    encoder = case.build()
    before = vectors(encoder, list(TEXTS))

    encoder.close()
    encoder.close()

    assert vectors(encoder, list(TEXTS)).tobytes() == before.tobytes()


def test_texts_that_are_cut_are_marked(case: Case, encoder: Encoder) -> None:
    long = "rain " * 200

    encoding = encoder.encode(["rain", long, "a"], encoder.plan(3))

    assert encoding.truncated.tolist() == [False, case.max_tokens is not None, False]


def test_tokens_are_counted_before_truncation_and_without_weights(case: Case, encoder: Encoder) -> None:
    counts = encoder.count_tokens(["rain", "rain rain", "rain " * 200])

    assert len(counts) == 3
    assert 0 < counts[0] < counts[1] < counts[2]
    assert case.max_tokens is None or counts[2] > case.max_tokens
    assert list(encoder.count_tokens([])) == []


def test_progress_adds_up_to_all_texts_and_tokens(encoder: Encoder) -> None:
    seen: list[tuple[int, int]] = []
    plan = attrs.evolve(encoder.plan(len(TEXTS)), batch_tokens=40)

    encoding = encoder.encode(list(TEXTS), plan, lambda texts, tokens: seen.append((texts, tokens)))

    assert sum(texts for texts, _ in seen) == len(TEXTS)
    assert sum(tokens for _, tokens in seen) == encoding.tokens
    assert encoding.tokens <= encoding.padded_tokens


def test_choices_are_lines_for_people(encoder: Encoder) -> None:
    assert encoder.choices
    assert all(line and "\n" not in line for line in encoder.choices)


def test_a_failing_encoder_says_which_rows_failed() -> None:
    encoder = FailingEncoder()

    encoding = encoder.encode(["good", "FAIL"], encoder.plan(2))

    assert encoding.failed.tolist() == [False, True]
    assert not dense(encoding.embeddings)[1].any()


def test_a_silent_failing_encoder_gives_nan() -> None:
    encoder = FailingEncoder(silent=True)

    encoding = encoder.encode(["good", "FAIL"], encoder.plan(2))

    assert np.isnan(dense(encoding.embeddings)[1]).all()
    assert not encoding.failed.any()


def test_an_encoder_that_was_sent_to_another_process_gives_the_same_bytes(encoder: Encoder) -> None:
    before = vectors(encoder, list(TEXTS))

    sent: Encoder = pickle.loads(pickle.dumps(encoder))

    assert sent.identity == encoder.identity
    assert vectors(sent, list(TEXTS)).tobytes() == before.tobytes()


def test_a_stream_of_parts_gives_what_each_part_alone_gives(encoder: Encoder) -> None:
    parts = [list(TEXTS[:2]), list(TEXTS[2:]), [TEXTS[0]]]
    plan = encoder.plan(5)

    found = [dense(one.embeddings) for one in encoder.stream(iter(parts), plan)]

    for one, part in zip(found, parts, strict=True):
        assert one.tobytes() == dense(encoder.encode(part, plan).embeddings).tobytes()


def test_the_texts_that_exceed_the_max_length_are_the_ones_that_are_truncated(encoder: Encoder) -> None:
    texts = [*TEXTS, "word " * 500]

    assert encoder.exceeds(texts).tolist() == encoder.encode(texts, encoder.plan(6)).truncated.tolist()


def test_texts_are_measured_as_they_are_counted_and_cut(case: Case, encoder: Encoder) -> None:
    texts = ["rain", "", "rain " * 100, "a\n b", "x" * 3000, *(f"{'rain ' * n}" for n in range(20, 40))]
    counts, cut = encoder.measure(texts)
    assert counts.tolist() == list(encoder.count_tokens(texts))
    assert cut.tolist() == encoder.exceeds(texts).tolist()
    assert [part.tolist() for part in encoder.measure([])] == [[], []]
