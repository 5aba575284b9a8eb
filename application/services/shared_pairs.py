"""Which texts of pairs stand in several splits, to the letter or nearly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import attrs

from fusionapp.application.ports.spool import Spool
from fusionapp.domain.retrieval.splitting import near_identical_key
from fusionapp.domain.splitting import duplicate_rows

Counts = Mapping[tuple[str, str], int]
"""By two splits: how many distinct texts stand in both; without those that share none."""

_STEP = 256


@attrs.frozen
class SharedPairs:
    """Texts that stand in more than one split.

    Attributes:
        queries: equal character by character.
        documents: the same for documents, hard negatives and the corpus included.
        near_queries: equal but for case, white space, punctuation and Unicode form; equal ones included.
        near_documents: the same for documents.
    """

    queries: Counts
    documents: Counts
    near_queries: Counts
    near_documents: Counts

    def sentences(self) -> Iterator[str]:
        """One sentence for each two splits that share something."""
        for what, exact, near in (
            ("queries", self.queries, self.near_queries),
            ("documents", self.documents, self.near_documents),
        ):
            for splits, count in near.items():
                same = exact.get(splits, 0)
                yield (
                    f"{count:,} {what} stand in {splits[0]} and in {splits[1]}: {same:,} to the letter, "
                    f"{max(count - same, 0):,} but for case, spaces or punctuation"
                )


def find_shared(spool: Spool, splits: Sequence[str]) -> SharedPairs:
    """Compare the spooled queries and documents of some splits; texts are streamed, 16 bytes kept of each."""
    return SharedPairs(
        *(
            duplicate_rows({split: _texts(spool, f"{split}.{kind}", near) for split in splits}).counts
            for near in (False, True)
            for kind in ("queries", "documents")
        )
    )


def _texts(spool: Spool, name: str, near: bool) -> Iterator[str]:
    texts = spool.read(name).stream(_STEP)
    return map(near_identical_key, texts) if near else texts
