"""Models' answers to prompts in files: scores and battles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from fusionapp.adapters.dataset_files.split_files import Files, split_paths
from fusionapp.adapters.files.source import read_rows
from fusionapp.application.ports.answer_source import AnswerSource
from fusionapp.domain.routing.answer_columns import Layout, answer_columns
from fusionapp.domain.routing.detected_columns import DetectedColumns
from fusionapp.domain.routing.rows import AnswerRow
from fusionapp.domain.splits import check_limit


class FileAnswerSource(AnswerSource):
    """Splits in files, by suffix: .csv, .tsv, .jsonl (.ndjson, .json), each also .gz, and .parquet.

    A split of several files is read as one, in order. Each file's layout is found by itself, so that scores and
    battles can stand beside each other.
    """

    def __init__(
        self,
        splits: Mapping[str, Files],
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
    ) -> None:
        """Take the settings of ``[dataset]``; no file is opened.

        Args:
            splits: file or files of each split.
            layout: "mapping", "wide", "long", "battles", or "auto": by the columns that there are.
            prompt: the prompt's column; default "prompt".
            conversation: a column of conversations instead, the first turn of whose user is the prompt.
            id: columns that name the prompt; default: equal texts are one prompt.
            task: the task's column; default "task" where there is one.
            prompt_tokens: the column of the prompt's tokens; default "prompt_tokens" where there is one.
            scores: a column of mappings from model to score, a pattern with a star for the model, such as
                "score_*", a list of columns called by their models, or the score's column beside `model`.
            costs: USD of each answer, as `scores`.
            latencies: seconds of each answer.
            tokens: of each answer.
            model: the model's column where each answer has a row.
            model_a: the first model's column in battles.
            model_b: the second's.
            winner: the winner's.
            score_range: the worst and the best score there can be; scores are scaled to [0, 1].
            limit: read only this many rows of each split.

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
        self._files = split_paths(splits)
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """The splits that were named, in the order train, validation, test, others."""
        return self._files.names()

    def describe(self, split: str) -> str:
        """The split's file, or files separated by commas."""
        return self._files.describe(split)

    def read(self, split: str) -> Iterator[AnswerRow]:
        """Rows of a split in file order.

        Raises:
            DatasetError: what cannot be read; names file, row, line and column.
        """
        return islice(self._read(self._files.of(split)), self._limit)

    def _read(self, paths: Sequence[Path]) -> Iterator[AnswerRow]:
        rows = 0
        for path in paths:
            columns = DetectedColumns(self._columns)
            for place, values in read_rows(path, columns, rows):
                yield columns.row(values, place)
                rows += 1
