"""Read a dataset once into the spool, and refuse what cannot be trained on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

import attrs

from fusionapp.application.ports.dataset_source import DatasetSource
from fusionapp.application.ports.spool import Spool, SpooledSplit
from fusionapp.domain.columns import Place
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.examples import Example
from fusionapp.domain.splits import chosen_splits

logger = logging.getLogger(__name__)

OnEmpty = Literal["error", "quarantine"]


@attrs.frozen
class ReadSplits:
    """Spools the splits of a dataset.

    Attributes:
        source: where the examples come from.
        spool: where they are kept for the encoders.
        text_column: for messages.
    """

    source: DatasetSource
    spool: Spool
    text_column: str

    def __call__(
        self,
        splits: Sequence[str] = (),
        limit: int | None = None,
        on_empty: OnEmpty = "error",
    ) -> Mapping[str, SpooledSplit]:
        """The splits by name, in the source's order.

        Args:
            splits: only these; empty for all there are.
            limit: only the first rows of each.
            on_empty: whether a blank text is an error here, or is left for extraction to quarantine.

        Raises:
            UsageError: the dataset has no such split.
            DatasetError: a text is blank and `on_empty` is "error", or the source cannot be read.
        """
        available = self.source.splits()
        chosen = chosen_splits(available, splits)
        spooled = {}
        for split in available:
            if split in chosen:
                logger.info(
                    "%s: reading column %s of %s", split, self.text_column, self.source.describe(split)
                )
                spooled[split] = self.spool.write(split, self._examples(split, limit, on_empty))
                logger.info("%s: %d rows, which every encoder now reads", split, spooled[split].rows)
        return spooled

    def _examples(self, split: str, limit: int | None, on_empty: OnEmpty) -> Iterator[Example]:
        empty = True
        most = None if limit is None else min(limit, sys.maxsize)  # islice takes no larger number
        for row, example in enumerate(islice(self.source.read(split), most)):
            empty = False
            if on_empty == "error" and not example.text.strip():
                raise Place(self.source.describe(split), row).error(
                    "the text is blank; fill it in or remove the row (`extract` can quarantine it)",
                    self.text_column,
                )
            yield example
        if empty:
            raise DatasetError(f"{self.source.describe(split)}: split {split!r} has no rows")
