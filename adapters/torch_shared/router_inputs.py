"""What a router reads of a prompt: unit vectors of its dense embeddings, counts of its sparse ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fusionapp.application.ports.router import Prompts
from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.features import FEATURES, prompt_features

Floats = NDArray[np.float32]
_AT_ONCE = 8192
_TEXTS_AT_ONCE = 2048


@attrs.frozen
class InputCard:
    """One encoder's embeddings, as train had them.

    Attributes:
        name: the encoder's.
        layers: views of a prompt; 1 for a sparse one.
        dim: numbers in a view; the vocabulary of a sparse one.
        sparse: True for CSR rows.
    """

    name: str
    layers: int
    dim: int
    sparse: bool


def read_cards(prompts: Prompts) -> tuple[InputCard, ...]:
    """The cards of prompts' embeddings.

    Raises:
        UsageError: embeddings of other than as many rows as there are texts, or of a shape that none has.
    """
    cards = []
    for name, rows in prompts.embeddings.items():
        if rows.shape[0] != len(prompts.texts):
            raise UsageError(
                f"routing: encoder {name!r} has {rows.shape[0]} embeddings of {len(prompts.texts)} prompts"
            )
        if isinstance(rows, np.ndarray):
            if rows.ndim != 3:
                raise UsageError(
                    f"routing: embeddings of {name!r} have shape {rows.shape}; give (prompts, layers, dim)"
                )
            cards.append(InputCard(name, rows.shape[1], rows.shape[2], sparse=False))
        else:
            cards.append(InputCard(name, 1, rows.shape[1], sparse=True))
    return tuple(cards)


def check_inputs(cards: Sequence[InputCard], prompts: Prompts) -> None:
    """Refuse prompts that lack what a router was trained on.

    Raises:
        UsageError: names the encoder and what is wrong with it.
    """
    found = {card.name: card for card in read_cards(prompts)}
    for card in cards:
        if card.name not in found:
            raise UsageError(
                f"routing: the router was trained on embeddings of {card.name!r}, which these prompts lack; "
                f"there are {', '.join(map(repr, found)) or 'none'}"
            )
        if found[card.name] != card:
            raise UsageError(
                f"routing: {_told(found[card.name])}, but the router was trained on {_told(card)}"
            )


def _told(card: InputCard) -> str:
    kind = "sparse" if card.sparse else "dense"
    return f"embeddings of {card.name!r} are {kind}, {card.layers} x {card.dim}"


def has_dense(cards: Sequence[InputCard]) -> bool:
    """Whether there is any dense encoder."""
    return any(not card.sparse for card in cards)


def dense_width(cards: Sequence[InputCard]) -> int:
    """Numbers of all views of the dense encoders together."""
    return sum(card.layers * card.dim for card in cards if not card.sparse)


def by_parts(work: Callable[[slice], None], rows: int, at_once: int) -> None:
    """Do some work on all rows, so many at once, by two threads: NumPy lets go of the interpreter."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, (slice(start, start + at_once) for start in range(0, rows, at_once))))


def text_features(texts: Sequence[str]) -> Floats:
    """`prompt_features`, by two threads."""
    found = np.empty((len(texts), len(FEATURES)), dtype=np.float32)

    def fill(part: slice) -> None:
        found[part] = prompt_features(texts[part])

    by_parts(fill, len(texts), _TEXTS_AT_ONCE)
    return found


def unit_vectors(cards: Sequence[InputCard], prompts: Prompts) -> Floats:
    """(prompts, all views' numbers) float32: each view of length 1, all of them together too.

    A view of zeros, such as that of an empty text, stays zeros.
    """
    joined = np.empty((len(prompts.texts), dense_width(cards)), dtype=np.float32)
    for name, columns, rows, views in _views(cards, prompts):
        for first in range(0, len(joined), _AT_ONCE):
            some = rows[first : first + _AT_ONCE].astype(np.float32, copy=False)
            lengths = _lengths(name, some, views, prompts.texts[first : first + _AT_ONCE])
            joined[first : first + len(some), columns] = some / lengths
    return joined


def unit_products(cards: Sequence[InputCard], prompts: Prompts, matrix: Floats) -> Floats:
    """(prompts, columns): `unit_vectors` @ matrix (all views' numbers, columns), without making them."""
    told = np.zeros((len(prompts.texts), matrix.shape[1]), dtype=np.float32)
    for name, columns, rows, views in _views(cards, prompts):
        some = rows.astype(np.float32, copy=False)
        lengths = _lengths(name, some, views, prompts.texts)
        told += (some @ matrix[columns]) / lengths
    return told


def _views(
    cards: Sequence[InputCard], prompts: Prompts
) -> Iterator[tuple[str, slice, NDArray[np.floating[Any]], int]]:
    """Of each view of the dense encoders: whose, its columns, its rows (prompts, dim), and all views' number."""
    dense = [card for card in cards if not card.sparse]
    views = sum(card.layers for card in dense)
    start = 0
    for card in dense:
        rows = np.asarray(prompts.embeddings[card.name])
        for layer in range(card.layers):
            yield card.name, slice(start, start + card.dim), rows[:, layer], views
            start += card.dim


def _lengths(name: str, rows: Floats, views: int, texts: Sequence[str]) -> Floats:
    """(rows, 1) what each is divided by."""
    with np.errstate(over="ignore", invalid="ignore"):
        length: Floats = np.sqrt(np.einsum("nd,nd->n", rows, rows) * np.float32(views))
    finite = np.isfinite(length)
    if not finite.all():
        text = texts[int(np.argmin(finite))]
        raise UsageError(
            f"routing: the embedding by {name!r} of prompt {text[:80]!r} has numbers that are not finite, or too "
            "large to be squared; embed it again, or leave the prompt out"
        )
    return np.where(length > 0, length, np.float32(1))[:, None]


def counts_of(card: InputCard, prompts: Prompts) -> csr_array:
    """The raw counts of a sparse encoder."""
    return csr_array(prompts.embeddings[card.name])
