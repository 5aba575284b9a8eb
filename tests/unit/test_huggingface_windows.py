"""Texts longer than the encoder takes: cut and counted, refused, or the mean over windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_models import tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.windows import average_windows
from fusionapp.domain.errors import TextTooLongError

SHORT = "a sad day"
LONG = "nobody came, and the rain never stopped. " * 4


def build(**settings: Any) -> HuggingFaceEncoder:
    return HuggingFaceEncoder(
        str(tiny_model("bert")), dtype="float32", device="cpu", pooling="mean", max_length=20, **settings
    )


def encode(encoder: HuggingFaceEncoder, *texts: str) -> NDArray[np.float32]:
    return np.asarray(encoder.encode(texts, encoder.plan(len(texts))).embeddings)


def test_a_long_text_is_the_mean_of_its_windows_vectors() -> None:
    windows = build(on_truncate="chunk")
    tokens = windows._tokenizer([LONG])
    assert len(tokens.ids) > 1
    texts = [windows._tokenizer._backend.decode(ids.tolist()) for ids in tokens.ids]

    found = encode(windows, LONG)

    np.testing.assert_allclose(found[0], encode(build(), *texts).mean(axis=0), rtol=1e-4, atol=1e-5)


def test_every_token_stands_in_exactly_one_window_and_windows_are_of_like_length() -> None:
    whole = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu", max_length=96)._tokenizer([LONG]).ids[0]

    windows = build(on_truncate="chunk")._tokenizer([LONG]).ids

    assert np.concatenate([ids[1:-1] for ids in windows]).tolist() == whole[1:-1].tolist()
    lengths = [len(ids) for ids in windows]
    assert max(lengths) <= 20
    assert max(lengths) - min(lengths) <= 1


def test_the_prefix_stands_before_every_window() -> None:
    windows = build(on_truncate="chunk", prefix="good day: ")._tokenizer([LONG]).ids
    prefix = build()._tokenizer(["good day:"]).ids[0][1:-1]

    assert all(ids[1 : 1 + len(prefix)].tolist() == prefix.tolist() for ids in windows)


def test_a_text_that_fits_is_not_changed_by_windows() -> None:
    assert (
        encode(build(on_truncate="chunk"), SHORT, LONG)[0].tobytes()
        == encode(build(), SHORT, LONG)[0].tobytes()
    )


def test_normalised_windows_give_a_normalised_mean() -> None:
    found = encode(build(on_truncate="chunk", normalize=True), LONG)

    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1.0, rtol=1e-5)


def test_nothing_counts_as_truncated_where_texts_are_read_in_windows() -> None:
    encoder = build(on_truncate="chunk")

    assert not encoder.encode([SHORT, LONG], encoder.plan(2)).truncated.any()


def test_windows_make_another_encoder_of_it() -> None:
    assert build(on_truncate="chunk").identity != build().identity
    assert build(on_truncate="error").identity == build().identity


def test_a_text_that_must_not_be_cut_is_named_with_the_way_out() -> None:
    with pytest.raises(TextTooLongError, match=r"longer than the 20 tokens.*chunk") as caught:
        encode(build(on_truncate="error"), SHORT, LONG)

    assert caught.value.position == 1


def test_a_window_that_is_not_finite_fails_its_whole_text() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(4, 1, 3)

    means, done = average_windows(
        vectors, np.array([True, True, False, True]), np.array([0, 1, 3]), normalize=False
    )

    assert done.tolist() == [True, False, True]
    assert means[:, 0].tolist() == [[0, 1, 2], [0, 0, 0], [9, 10, 11]]


def test_what_is_read_in_windows_is_measured_whole_and_not_as_cut() -> None:
    counts, cut = build(on_truncate="chunk").measure([SHORT, LONG])
    assert counts[1] > 20
    assert not cut.any()
    assert build().measure([SHORT, LONG])[1].tolist() == [False, True]
