"""From texts to token ids, without padding, each text on its own."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import TextTooLongError, UsageError
from fusionapp.domain.unicode import mend_surrogates

_CHUNK = 512
"""Texts given to the tokenizer at once: its results take far more memory than the ids that are kept."""

_CHARACTERS_PER_TOKEN = 8
"""Where a text is first cut, per token of the max length; English has about 4.5, white space far more."""

_MARGIN = 32
"""Tokens to spare behind the max length: a cut inside a word must not reach the tokens that are kept."""


OnTruncate = Literal["warn", "error", "chunk"]
"""What becomes of a text longer than the max length: cut and counted, refused, or read in windows."""


@attrs.frozen(eq=False)
class Tokens:
    """Token ids of texts.

    Attributes:
        ids: one int32 array a text, or a window of a text, special tokens and prefix included.
        truncated: (texts,) bool, True where tokens were cut off.
        first: (texts,) int64, the first window of each text; None where each has one.
        seconds: that it took.
    """

    ids: list[NDArray[np.int32]]
    truncated: NDArray[np.bool_]
    first: NDArray[np.int64] | None = None
    seconds: float = 0.0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(texts or windows,) int64, tokens in each."""
        return np.fromiter(map(len, self.ids), np.int64, len(self.ids))

    @property
    def flat(self) -> NDArray[np.int32]:
        """(tokens,) the ids of all texts or windows, end to end."""
        return np.concatenate([np.zeros(0, np.int32), *self.ids])

    @classmethod
    def of_flat(
        cls,
        flat: NDArray[np.int32],
        lengths: NDArray[np.int64],
        truncated: NDArray[np.bool_],
        first: NDArray[np.int64] | None = None,
        seconds: float = 0.0,
    ) -> Tokens:
        """What has this `flat` and these `lengths`; ids are views of `flat`."""
        ends = lengths.cumsum().tolist()
        return cls([flat[a:b] for a, b in pairwise([0, *ends])], truncated, first, seconds)

    def __reduce__(self) -> tuple[Any, ...]:
        """Few arrays go to another process far faster than one a text."""
        return Tokens.of_flat, (self.flat, self.lengths, self.truncated, self.first, self.seconds)


class TextTokenizer:
    """A Hugging Face tokenizer that adds the prefix, counts truncations and does no work for nothing.

    Special tokens are put around the body here, which is what the tokenizer's template would do, so that the
    text's end can be cut without cutting the closing special token.
    """

    def __init__(
        self,
        backend: Any,
        prefix: str,
        max_length: int,
        lower_case: bool = False,
        closing: int | None = None,
        on_truncate: OnTruncate = "warn",
    ) -> None:
        """Wrap a `tokenizers.Tokenizer`.

        Args:
            backend: the tokenizer; its own truncation and padding are switched off.
            prefix: what stands before each text.
            max_length: most tokens of a text, all included.
            lower_case: lower-case before the tokenizer's own normaliser.
            closing: a token id that ends every text, for models that want one their template does not add.
            on_truncate: what becomes of longer texts.

        Raises:
            UsageError: prefix and special tokens leave no room for text.
        """
        backend.no_truncation()
        backend.no_padding()
        if lower_case:
            prepend_lower_case(backend)
        self._backend = backend
        self._prefix = prefix
        self._settings = (prefix, max_length, closing, on_truncate)
        probe = backend.encode("a")
        special = np.asarray(probe.special_tokens_mask, dtype=bool)
        if special.all():
            raise UsageError("model: its tokenizer makes no token of the letter 'a'; it cannot be used")
        body = np.flatnonzero(~special)
        self._before = np.asarray(probe.ids[: body[0]], dtype=np.int32)
        after = [*probe.ids[body[-1] + 1 :], *([] if closing is None else [closing])]
        self._after = np.asarray(after, dtype=np.int32)
        self._room = max_length - len(self._before) - len(self._after)
        self._max_length = max_length
        self._on_truncate = on_truncate
        # The space that ends a prefix merges with the word that follows it, so it is no token of the prefix.
        self._prefix_ids = self._body_ids([prefix.rstrip()])[0] if prefix else np.zeros(0, np.int32)
        prefix_tokens = len(self._prefix_ids)
        self.prefix_length = len(self._before) + prefix_tokens if prefix else 0
        if self._room < prefix_tokens + 1:
            raise UsageError(
                f"max_length: {max_length} leaves no token for the text; prefix and special tokens take "
                f"{max_length - self._room + prefix_tokens}"
            )

    def fingerprint(self) -> str:
        """Of everything that changes a token: encoders of the same one can share tokens."""
        return sha256(f"{self._backend.to_str()}{self._settings!r}".encode()).hexdigest()

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Ids of each text: opening special tokens, prefix, text cut to fit, closing special tokens.

        Raises:
            TextTooLongError: a text does not fit, and is not to be cut.
        """
        start = perf_counter()
        tokens = self._windows(texts) if self._on_truncate == "chunk" else self._cut(texts)
        if self._on_truncate == "error" and tokens.truncated.any():
            raise TextTooLongError(
                f'is longer than the {self._max_length} tokens that the encoder takes; set on_truncate = "warn" '
                'to cut it, or "chunk" to average over windows',
                int(tokens.truncated.argmax()),
            )
        return attrs.evolve(tokens, seconds=perf_counter() - start)

    def exceeds(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """(texts,) True where a text would be cut."""
        cut = self._on_truncate != "chunk"
        return self._cut(texts).truncated if cut else np.zeros(len(texts), dtype=np.bool_)

    def _cut(self, texts: Sequence[str]) -> Tokens:
        ids: list[NDArray[np.int32]] = []
        truncated = np.zeros(len(texts), dtype=bool)
        for start in range(0, len(texts), _CHUNK):
            bodies = self._bodies([self._prefix + text for text in texts[start : start + _CHUNK]])
            for row, body in enumerate(bodies, start):
                truncated[row] = len(body) > self._room
                ids.append(np.concatenate([self._before, body[: self._room], self._after]))
        return Tokens(ids, truncated)

    def _windows(self, texts: Sequence[str]) -> Tokens:
        """Windows of nearly equal length, so that no short rest counts as much as a whole one."""
        ids: list[NDArray[np.int32]] = []
        first = np.zeros(len(texts), dtype=np.int64)
        room = self._room - len(self._prefix_ids)
        for start in range(0, len(texts), _CHUNK):
            whole = self._body_ids([self._prefix + text for text in texts[start : start + _CHUNK]])
            for row, body in enumerate(whole, start):
                first[row] = len(ids)
                if len(body) <= self._room:
                    ids.append(np.concatenate([self._before, body, self._after]))
                    continue
                rest = body[len(self._prefix_ids) :]
                for window in np.array_split(rest, -(-len(rest) // room)):
                    ids.append(np.concatenate([self._before, self._prefix_ids, window, self._after]))
        return Tokens(ids, np.zeros(len(texts), dtype=bool), first)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before anything is cut, prefix and special tokens included."""
        special = len(self._before) + len(self._after)
        return [
            special + len(body)
            for start in range(0, len(texts), _CHUNK)
            for body in self._body_ids([self._prefix + text for text in texts[start : start + _CHUNK]])
        ]

    def measure(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(texts,) `count` and (texts,) `exceeds`, for one tokenisation."""
        counts = np.asarray(self.count(texts), dtype=np.int64)
        return counts, (counts > self._max_length) & (self._on_truncate != "chunk")

    def _bodies(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Ids without special tokens: all of a text's, or at least as many as fit and a margin."""
        limit = self._room * _CHARACTERS_PER_TOKEN
        bodies = self._body_ids([text[:limit] for text in texts])
        while True:
            short = [
                row
                for row, text in enumerate(texts)
                if len(text) > limit and len(bodies[row]) < self._room + _MARGIN
            ]
            if not short:
                return bodies
            limit *= 4
            for row, body in zip(short, self._body_ids([texts[row][:limit] for row in short]), strict=True):
                bodies[row] = body

    def _body_ids(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        # encode_batch_fast keeps no offsets and pads nothing: three times the speed of the transformers call.
        try:
            encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError:  # half a surrogate pair, which a JSON file may hold, is no Unicode text
            whole = list(map(mend_surrogates, texts))
            encodings = self._backend.encode_batch_fast(whole, add_special_tokens=False)
        return [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]


def prepend_lower_case(backend: Any) -> None:
    """Make a `tokenizers.Tokenizer` lower-case its texts before whatever else it does to them."""
    from tokenizers.normalizers import Lowercase, Sequence as Normalizers

    rest = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = Normalizers([Lowercase(), *rest])


def load_backend(directory: Path, trust_remote_code: bool = False) -> Any:
    """The `tokenizers.Tokenizer` of a local transformers model.

    Raises:
        UsageError: there is none that can be read, or it has no fast (Rust) backend.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            directory, local_files_only=True, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"model: {directory} has no tokenizer that can be read: {error}") from error
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise UsageError(f"model: {directory} has only a slow tokenizer; save it with a tokenizer.json")
    return tokenizer.backend_tokenizer
