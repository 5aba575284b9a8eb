"""``--prefix e5-large='passage: '`` and its like: settings of one encoder each, by flag."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import attrs

from fusionapp.domain.catalogue import find_card
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.experiment.structure import settings_class
from fusionapp.entrypoints.text_batches import batch_budget, text_tokens

logger = logging.getLogger(__name__)


@attrs.frozen
class EncoderFlags:
    """What the command line says of encoders, beside which ones there are.

    Attributes:
        prefixes: ``NAME=TEXT``.
        max_lengths: ``NAME=N``.
        normalized: ``NAME``, or ``NAME=false``.
        batch_size: most texts in a batch, counted at their greatest length.
        batch_tokens: most tokens in a batch, padding included.
    """

    prefixes: Sequence[str] = ()
    max_lengths: Sequence[str] = ()
    normalized: Sequence[str] = ()
    batch_size: int | None = None
    batch_tokens: int | None = None

    def check(self) -> None:
        """Refuse two answers to one question.

        Raises:
            UsageError: both batch flags are given.
        """
        if self.batch_size is not None and self.batch_tokens is not None:
            raise UsageError("--batch-size and --batch-tokens: both bound a batch; give one of them")

    def put(self, encoders: Any) -> None:
        """Write the flags into the encoders' plain tables, by name.

        Raises:
            UsageError: a flag is malformed, or of an encoder that is not there or has no such setting.
        """
        tables = encoders if isinstance(encoders, dict) else {}
        for flag, key, given, read in (
            ("--prefix", "prefix", self.prefixes, _text),
            ("--max-length", "max_length", self.max_lengths, _length),
            ("--normalize", "normalize", self.normalized, _truth),
        ):
            for word in given:
                name, value = read(flag, word)
                _put(tables, f"{flag} {word}", name, key, value)
        for name, table in tables.items():
            if isinstance(table, dict):
                self._bound_batches(name, table)

    def _bound_batches(self, name: str, table: dict[str, Any]) -> None:
        settings = _settings(table)
        if self.batch_tokens is not None and "batch_tokens" in settings:
            table["batch_tokens"] = self.batch_tokens
        if self.batch_size is None:
            return
        if "batch_size" in settings:
            table["batch_size"] = self.batch_size
        elif "batch_tokens" in settings:
            table["batch_tokens"] = batch_budget(table, self.batch_size)
            logger.info(
                "%s: --batch-size %d becomes %d tokens a batch, for texts of up to %d tokens",
                name,
                self.batch_size,
                table["batch_tokens"],
                text_tokens(table),
            )


def _text(flag: str, word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        raise UsageError(f"{flag} {word}: expected NAME=TEXT, such as {flag} e5-large='passage: '")
    return name, value


def _length(flag: str, word: str) -> tuple[str, int]:
    name, _, value = word.partition("=")
    if not name or not (value.isascii() and value.isdigit()) or int(value) < 1:
        raise UsageError(f"{flag} {word}: expected NAME=N, N at least 1, such as {flag} e5-large=256")
    return name, int(value)


def _truth(flag: str, word: str) -> tuple[str, bool]:
    name, equals, value = word.partition("=")
    if not name or (equals and value not in ("true", "false")):
        raise UsageError(f"{flag} {word}: expected NAME, NAME=true or NAME=false, such as {flag} bert-large")
    return name, value != "false"


def _put(tables: Mapping[str, Any], said: str, name: str, key: str, value: Any) -> None:
    table = tables[_find(tables, said, name)]
    if not isinstance(table, dict):
        return  # the schema reports it
    if key not in _settings(table):
        adapter = table.get("adapter", "huggingface")
        raise UsageError(f"{said}: the {adapter} adapter of {name} has no such setting; leave the flag out")
    table[key] = value


def _find(tables: Mapping[str, Any], said: str, name: str) -> str:
    """The encoder that a flag means: by its name in the experiment, else by its model under any of its names."""
    if name in tables:
        return name
    models = {key: str(table.get("model")) for key, table in tables.items() if isinstance(table, Mapping)}
    found = [key for key, model in models.items() if _same_model(model, name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{said}: several encoders are of that model; say which: {', '.join(found)}")
    near = get_close_matches(name, [*tables, *models.values()], n=1)
    known = f"did you mean {near[0]}?" if near else f"the encoders are {', '.join(tables) or 'none'}"
    raise UsageError(f"{said}: no such encoder; {known}")


def _same_model(model: str, name: str) -> bool:
    card = find_card(name)
    return model == name or (card is not None and card == find_card(model))


def _settings(table: Mapping[str, Any]) -> Sequence[str]:
    """Names of the settings that an encoder's table may hold; of an unknown adapter, what flags can give."""
    kind = settings_class(str(table.get("adapter", "huggingface")))
    if kind is None:
        return ("prefix", "max_length", "normalize", "batch_tokens")
    return [field.name for field in attrs.fields(kind)]
