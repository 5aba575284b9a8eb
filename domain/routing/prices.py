"""What an answer costs: prices by the token, and how many tokens to expect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.errors import UsageError

_BYTES_PER_TOKEN = 4.0
_INPUT, _OUTPUT = "input_price_usd_per_mtok", "output_price_usd_per_mtok"


@attrs.frozen
class Price:
    """What a model's tokens cost.

    Attributes:
        input: USD per million tokens of the prompt.
        output: USD per million tokens of the answer.
    """

    input: float
    output: float


@attrs.frozen
class Prices:
    """Prices of models by name."""

    models: Mapping[str, Price]

    @classmethod
    def of(cls, table: Mapping[str, object], where: str = "prices") -> Prices:
        """Prices from a table such as ``{"gpt-4": {"input_price_usd_per_mtok": 30.0,
        "output_price_usd_per_mtok": 60.0}}``; other keys of a model may say more of it.

        Raises:
            UsageError: a price that is missing or no number of at least 0; names the model.
        """
        return cls({model: _price(model, entry, where) for model, entry in table.items()})

    def missing(self, models: Iterable[str]) -> Sequence[str]:
        """Those of some models that have no price."""
        return [model for model in models if model not in self.models]

    def costs(
        self, models: Sequence[str], prompt_tokens: NDArray[np.float64], answer_tokens: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What answers cost: (prompt tokens x input price + answer tokens x output price) / 10⁶.

        Args:
            models: names, in the order of columns.
            prompt_tokens: (prompts,) tokens of each prompt.
            answer_tokens: (models,) expected, or (prompts, models) counted; NaN where unknown.

        Returns:
            (prompts, models) USD; NaN for models without a price and where the answer's tokens are unknown.
        """
        unknown = Price(math.nan, math.nan)
        prices = [self.models.get(model, unknown) for model in models]
        inputs, outputs = (
            np.array([getattr(price, side) for price in prices], dtype=np.float64)
            for side in ("input", "output")
        )
        costs: NDArray[np.float64] = (prompt_tokens[:, None] * inputs + answer_tokens * outputs) / 1e6
        return costs


def estimate_tokens(text: str) -> float:
    """How many tokens a text has, without a tokenizer: one for four bytes of UTF-8, at least one.

    Four characters a token is the rule of thumb that providers give for English. Bytes stand for characters so
    that scripts with fewer letters to a word count more: a Chinese character is three quarters of a token. Where
    costs must be exact, give the tokens in a column.
    """
    return max(1.0, math.ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN))


def mean_known(counted: NDArray[np.float64], default: float | None = None) -> NDArray[np.float64]:
    """How long, or how dear, a model's answer is on average.

    Args:
        counted: (prompts, models) tokens or costs of known answers; NaN where unknown.
        default: for models none of whose answers is known; None leaves them unknown.

    Returns:
        (models,) the mean of what is known; NaN where nothing is and there is no default.
    """
    known = np.isfinite(counted)
    counts = known.sum(axis=0)
    sums = np.where(known, counted, 0.0).sum(axis=0)
    otherwise = math.nan if default is None else default
    return np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)


def _price(model: str, entry: object, where: str) -> Price:
    if not isinstance(entry, Mapping):
        raise UsageError(
            f"{where}: model {model!r}: expected {{{_INPUT}, {_OUTPUT}}}, got {type(entry).__name__}"
        )
    values = []
    for key in (_INPUT, _OUTPUT):
        value = entry.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise UsageError(
                f"{where}: model {model!r}: {key} is {value!r}; expected USD per million tokens, at least 0"
            )
        values.append(float(value))
    return Price(*values)
