"""`extract --texts`: an experiment that nothing but flags describes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.encoder_flags import EncoderFlags
from fusionapp.entrypoints.experiment.load import plain_name

logger = logging.getLogger(__name__)

EXCLUDED = {
    "dataset.name": "--dataset",
    "dataset.train": "--train-file",
    "dataset.validation": "--validation-file",
    "dataset.test": "--test-file",
}
"""Flags that name a dataset of another kind."""


@attrs.frozen
class TextsJob:
    """The flags of `extract` that no other command has.

    Attributes:
        texts: the file of texts; None where an experiment names its dataset.
        ids: id columns.
        encoders: what is said of single encoders, and of batches.
        shard_rows: texts in a shard.
    """

    texts: Path | None = None
    ids: Sequence[str] = ()
    encoders: EncoderFlags = attrs.field(factory=EncoderFlags)
    shard_rows: int | None = None

    def check(self, experiment: Path | None, output: Path | None, given: Mapping[str, Any]) -> None:
        """See that the flags go together.

        Args:
            experiment: EXPERIMENT.
            output: ``--output``.
            given: dotted keys of the other flags.

        Raises:
            UsageError: they do not; names them.
        """
        self.encoders.check()
        if self.texts is None:
            return
        other = f"EXPERIMENT ({experiment})" if experiment is not None else None
        other = other or next((flag for key, flag in EXCLUDED.items() if given.get(key) is not None), None)
        if other is not None:
            raise UsageError(
                f"--texts: does not go with {other}; each of them names the texts, so leave one out"
            )
        if output is None:
            raise UsageError("--texts: needs --output DIR, the directory that receives the embeddings")

    def complete(self, content: dict[str, Any], output: Path | None) -> None:
        """Put the flags into an experiment's plain dict.

        Raises:
            UsageError: a flag is of an encoder that is not there, or is not what that encoder takes.
        """
        if self.texts is not None and output is not None:
            if not content.get("encoders"):
                raise UsageError("--texts: name one encoder or several, such as --encoder bge-large")
            _table(content, "dataset").update(source="files", texts=str(self.texts))
            content.setdefault("name", plain_name(str(output.resolve()))[:100])
            storage = _table(content, "storage")
            storage.setdefault("root", str(output / "embeddings"))
            logger.info("run directory: %s; embeddings are kept under %s", output, storage.get("root"))
        if self.ids:
            _table(content, "dataset")["id"] = list(self.ids)
        if self.shard_rows is not None:
            _table(content, "storage")["shard_rows"] = self.shard_rows
        _choose_executor(_table(content, "extract"))
        self.encoders.put(content.get("encoders"))


def _choose_executor(settings: MutableMapping[str, Any]) -> None:
    """Several workers are several processes, unless an executor is named."""
    workers, executor = settings.get("workers"), settings.get("executor")
    if not isinstance(workers, int) or workers <= 1:
        return
    if executor is None:
        settings["executor"] = "processes"
        logger.info("encoders run in %d processes, as --workers says", workers)
    elif executor == "local":
        logger.warning('extract.workers: %d are not used by executor = "local", which has one', workers)


def _table(content: dict[str, Any], name: str) -> dict[str, Any]:
    table = content.setdefault(name, {})
    # What is no table is reported by the schema; the flags then have nowhere to go.
    return table if isinstance(table, dict) else {}
