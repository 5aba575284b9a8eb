"""Models' answers to prompts through the `datasets` library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from os import PathLike

from fusionapp.adapters.hub_datasets.loading import load_hub
from fusionapp.adapters.hub_datasets.splits import HubLoader, HubSplits, class_name
from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.routing.answer_columns import Layout, answer_columns
from fusionapp.domain.routing.detected_columns import DetectedColumns
from fusionapp.domain.routing.rows import AnswerRow
from fusionapp.domain.splits import check_limit


class HubAnswerSource(AnswerSource):
    """Splits of a directory that ``DatasetDict.save_to_disk`` wrote, or of a dataset of the hub by name.

    Where it is looked for is as in `HubDatasetSource`. A ClassLabel column gives names.
    """

    def __init__(
        self,
        name: str | PathLike[str],
        *,
        layout: Layout = "auto",
        prompt: str | None = None,
        conversation: str | None = None,
        id: str | Iterable[str] | None = None,
        task: str | None = None,
        prompt_tokens: str | None = None,
        scores: str | Sequence[str] | None = None,
        costs: str | Sequence[str] | None = None,
        latencies: str | Sequence[str] | None = None,
        tokens: str | Sequence[str] | None = None,
        model: str | None = None,
        model_a: str | None = None,
        model_b: str | None = None,
        winner: str | None = None,
        score_range: Sequence[float] = (0.0, 1.0),
        limit: int | None = None,
        splits: Mapping[str, str] | None = None,
        config: str | None = None,
        revision: str | None = None,
        data_dir: str | PathLike[str] | None = None,
        load: HubLoader = load_hub,
    ) -> None:
        """Take the settings of ``[dataset]``; columns as of `FileAnswerSource`, the rest as of `HubDatasetSource`.

        Raises:
            UsageError: settings that make no sense.
        """
        check_limit(limit)
        self._columns = answer_columns(
            layout=layout,
            prompt=prompt,
            conversation=conversation,
            id=id,
            task=task,
            prompt_tokens=prompt_tokens,
            scores=scores,
            costs=costs,
            latencies=latencies,
            tokens=tokens,
            model=model,
            model_a=model_a,
            model_b=model_b,
            winner=winner,
            score_range=score_range,
        )
        self._limit = limit
        self._hub = HubSplits(name, splits, config, revision, data_dir, load)

    def splits(self) -> Sequence[str]:
        """The dataset's splits, in the order train, validation, test, others."""
        return self._hub.names()

    def describe(self, split: str) -> str:
        """The directory or hub name, and the split as it is called there."""
        return self._hub.describe(split)

    def read(self, split: str) -> Iterator[AnswerRow]:
        """Rows of a split in its order.

        Raises:
            DatasetError: a missing split or column, or a cell that cannot be read; names row and column.
            UpstreamError: the hub cannot be reached, or has no such dataset.
        """
        return islice(self._read(split), self._limit)

    def _read(self, split: str) -> Iterator[AnswerRow]:
        columns = DetectedColumns(self._columns)
        named: dict[str, Sequence[str]] = {}
        for place, values in self._hub.rows(split, columns):
            if place.row == 0:
                named = {one: names for one in values if (names := self._hub.classes(split, one))}
            for column, names in named.items():
                values[column] = class_name(names, values[column])
            yield columns.row(values, place)
