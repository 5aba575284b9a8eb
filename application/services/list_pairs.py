"""The pairs of a split as rows that a source of pairs reads."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.load_pairs import LoadPairs
from fusionapp.application.services.mine_negatives import Mined, with_negatives
from fusionapp.domain.embeddings import Json

COLUMNS = {
    "query": "query",
    "document": "document",
    "id": ["id"],
    "query_id": ["query_id"],
    "grade": "grade",
    "topic": "topic",
    "label": "label",
    "date": "date",
    "negatives": "negatives",
}
"""What ``[dataset]`` calls these rows' columns."""


@attrs.frozen
class ListPairs:
    """Lists pairs with their texts, ids and hard negatives.

    Attributes:
        load: reads the pairs.
        spool: of the run.
    """

    load: LoadPairs
    spool: Spool

    def __call__(self, split: str, mined: Mined) -> Iterator[dict[str, Json]]:
        """One row a pair, in order; a topic, label or date stands there where the document has one.

        Args:
            split: which pairs.
            mined: hard negatives of that split, listed after those that came with the data.
        """
        pairs = with_negatives(self.load(split), mined.rows)
        documents = self.spool.read(f"{split}.documents")
        for (query, document), grade, negatives in zip(
            pairs.pairs.tolist(), pairs.grades.tolist(), pairs.negatives.tolist(), strict=True
        ):
            (id,) = documents.ids(document, document + 1)
            about = {"topic": pairs.topics[document], "label": pairs.labels[document], "date": id.get("date")}
            yield {
                "query": pairs.queries[query],
                "document": pairs.documents[document],
                "id": pairs.document_ids[document],
                "query_id": pairs.query_ids[query],
                "grade": grade,
                **{name: value for name, value in about.items() if value is not None},
                "negatives": [pairs.documents[row] for row in dict.fromkeys(negatives) if row >= 0],
            }
