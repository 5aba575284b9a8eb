"""The pair source over a BEIR directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path

import attrs

from fusionapp.adapters.beir.lines import Judgement, find_file, read_judgements, read_records
from fusionapp.application.ports.pair_source import PairSource
from fusionapp.domain.columns import Place, read_text
from fusionapp.domain.errors import DatasetError
from fusionapp.domain.retrieval.pair_columns import check_filled
from fusionapp.domain.retrieval.pairs import Document, Pair
from fusionapp.domain.splits import order_splits, unknown_split

_SPLIT_NAMES = {"dev": "validation", "val": "validation", "valid": "validation"}


@attrs.frozen
class _Judged:
    """The judgements of a split that count, and which documents they name."""

    positive: Sequence[Judgement]
    documents: frozenset[str]


class BeirSource(PairSource):
    """``corpus.jsonl``, ``queries.jsonl`` (each may be .gz) and ``qrels/SPLIT.tsv``, as BEIR (Thakur et al. 2021).

    A document's text is its title, a space and its text, as BEIR's own models read it. Judgements below grade 1
    are left out. qrels/dev.tsv is the split validation.
    """

    def __init__(self, directory: str | PathLike[str]) -> None:
        """`directory`: of one BEIR dataset; nothing is read before the first question."""
        self._directory = Path(directory).expanduser()

    def splits(self) -> Sequence[str]:
        """Those with judgements, in the order train, validation, test, others."""
        return order_splits(self._qrels)

    def describe(self, split: str) -> str:
        """The file of judgements."""
        if split not in self._qrels:
            raise unknown_split(split, self.splits(), str(self._directory))
        return str(self._qrels[split])

    def read(self, split: str) -> Iterator[Pair]:
        """One pair for each judgement of grade 1 or more, in the file's order.

        The texts that the split names are held while it is read; the rest of the corpus is not.

        Raises:
            DatasetError: a missing file, a damaged line, a blank text, or a judgement that names an id that is not
                there.
        """
        judged = self._judged(split)
        queries = self._queries(frozenset(one.query_id for one in judged.positive))
        documents = {document.id: document.text for document in self._documents(judged.documents)}
        for one in judged.positive:
            for there, id, column, file in (
                (queries, one.query_id, "query-id", self._file("queries.jsonl")),
                (documents, one.document_id, "corpus-id", self._file("corpus.jsonl")),
            ):
                if id not in there:
                    raise one.place.error(
                        f"{id!r} is not an _id of {file}; mend it or remove the line", column
                    )
            yield Pair(
                query=queries[one.query_id],
                document=documents[one.document_id],
                query_id=one.query_id,
                document_id=one.document_id,
                grade=one.grade,
            )

    def corpus(self, split: str) -> Iterator[Document]:
        """The corpus but for the documents of the split's pairs.

        Raises:
            DatasetError: a missing file, a damaged line or a blank document.
        """
        named = self._judged(split).documents
        return (document for document in self._documents(None) if document.id not in named)

    def _judged(self, split: str) -> _Judged:
        positive = [one for one in read_judgements(Path(self.describe(split))) if one.grade >= 1]
        return _Judged(positive, frozenset(one.document_id for one in positive))

    def _queries(self, wanted: frozenset[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for place, id, values in read_records(self._file("queries.jsonl")):
            if id in wanted:
                text = check_filled(read_text(values.get("text"), "text", place), "query", "text", place)
                _refuse_second(found, id, place)
                found[id] = text
        return found

    def _documents(self, wanted: frozenset[str] | None) -> Iterator[Document]:
        """Documents of these ids, or all that are not blank: BEIR's corpora hold some without any text."""
        seen: dict[str, str] = {}
        for place, id, values in read_records(self._file("corpus.jsonl")):
            if wanted is not None and id not in wanted:
                continue
            text = _document_text(values, place)
            if wanted is not None:
                _refuse_second(seen, id, place)
                seen[id] = text
                check_filled(text, "document", "text", place)
            if text:
                yield Document(id, text)

    def _file(self, name: str) -> Path:
        path = find_file(self._directory, name)
        if path is None:
            raise DatasetError(
                f"{self._directory / name}: no such file, nor {name}.gz; a BEIR directory holds corpus.jsonl, "
                "queries.jsonl and qrels/SPLIT.tsv"
            )
        return path

    @cached_property
    def _qrels(self) -> Mapping[str, Path]:
        """Files of judgements by our name of the split."""
        files = {path.stem: path for path in sorted((self._directory / "qrels").glob("*.tsv"))}
        if not files:
            raise DatasetError(
                f"{self._directory / 'qrels'}: holds no SPLIT.tsv; a BEIR directory holds corpus.jsonl, "
                "queries.jsonl and qrels/SPLIT.tsv"
            )
        renamed = {_SPLIT_NAMES.get(name, name): path for name, path in files.items()}
        return renamed if len(renamed) == len(files) else files


def _document_text(values: Mapping[str, object], place: Place) -> str:
    title = read_text(values.get("title") or "", "title", place)
    return f"{title} {read_text(values.get('text', ''), 'text', place)}".strip()


def _refuse_second(seen: Mapping[str, str], id: str, place: Place) -> None:
    if id in seen:
        raise place.error(f"{id!r} stands here a second time; ids name one text each", "_id")
