"""Titles and abstracts as pairs, from JSON lines."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from fusionapp.adapters.dataset_files.split_files import Files, split_paths
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.columns import Place, read_id, read_text
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.retrieval.pair_columns import check_filled
from fusionapp.domain.retrieval.pairs import Document, Pair
from fusionapp.domain.splits import check_limit

_VERSION = re.compile(r"v\d+$")


class ArxivSource(PairSource):
    """Papers as `fusionapp fetch arxiv` writes them: {"id", "title", "abstract", "primary", "categories", "date"}.

    The title is the query, the abstract the document, the primary category the topic (the first of `categories`,
    or "topic", where there is no "primary"). A paper that stands twice in a split, in another file or version, is
    read the first time.
    """

    def __init__(
        self,
        splits: Mapping[str, Files],
        limit: int | None = None,
    ) -> None:
        """Take the settings of ``[dataset]``; no file is opened.

        Args:
            splits: of each split, .jsonl or .jsonl.gz files, or directories of them, which are read by name.
            limit: read only this many papers of each split.

        Raises:
            UsageError: a split without a file, or a limit below 1.
        """
        check_limit(limit)
        self._files = split_paths(splits)
        self._limit = limit

    def splits(self) -> Sequence[str]:
        """The splits that were named, in the order train, validation, test, others."""
        return self._files.names()

    def describe(self, split: str) -> str:
        """The split's files or directories, separated by commas."""
        return self._files.describe(split)

    def read(self, split: str) -> Iterator[Pair]:
        """Papers in file order, each once.

        Raises:
            DatasetError: what cannot be read; names file, row, line and field.
        """
        return islice(self._read(self._files.of(split)), self._limit)

    def corpus(self, split: str) -> Iterator[Document]:
        """No document beside those of the pairs."""
        self._files.of(split)
        return iter(())

    def _read(self, paths: Sequence[Path]) -> Iterator[Pair]:
        seen: set[str] = set()
        row = 0
        for path in (file for place in paths for file in _files(place)):
            for line, record in _records(path):
                pair = _pair(record, Place(str(path), row, line))
                row += 1
                if pair.document_id not in seen:
                    seen.add(pair.document_id)
                    yield pair


def bare_id(id: str) -> str:
    """An arXiv id without its version: 2107.05580v2 and 2107.05580 are one paper."""
    return _VERSION.sub("", id.strip())


def _pair(record: Mapping[str, object], place: Place) -> Pair:
    texts = {}
    for field in ("title", "abstract"):
        texts[field] = check_filled(read_text(record.get(field), field, place), field, field, place)
    id = bare_id(read_text(record.get("id"), "id", place))
    check_filled(id, "id", "id", place)
    date = read_id(record.get("date"), "date", place)
    return Pair(
        query=texts["title"],
        document=texts["abstract"],
        query_id=id,
        document_id=id,
        topic=_topic(record, place),
        date=None if date in (None, "") else str(date),
    )


def _topic(record: Mapping[str, object], place: Place) -> str | None:
    categories = record.get("categories")
    if isinstance(categories, str):
        categories = categories.split()  # as in arXiv's own metadata snapshot
    first = categories[0] if isinstance(categories, list) and categories else None
    topic = record.get("primary") or record.get("topic") or first
    return None if topic is None else read_text(topic, "primary", place)


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    found = sorted({*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")})
    if not found:
        raise DatasetError(
            f"{path}: holds no .jsonl file; `fusionapp fetch arxiv --output {path}` writes them"
        )
    return found


def _records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, _parse(line, Place(str(path), line=number))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: damaged gzip file ({error}); copy or fetch it again") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error


def _parse(line: bytes, place: Place) -> dict[str, object]:
    try:
        record = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise place.error(f"not JSON in UTF-8 ({error}); write one object a line") from error
    if not isinstance(record, dict):
        raise place.error(f"expected one object a line, got {type(record).__name__}")
    return record
