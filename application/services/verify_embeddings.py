"""Check every stored byte of a run's embeddings, or of a whole store."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from fusionapp.application.ports.embedding_store import EmbeddingStore, Problem
from fusionapp.domain.embeddings import Json


@attrs.frozen
class VerifyEmbeddings:
    """Compares files with their recorded hashes. Incomplete is not corrupt; gone after it was complete is.

    Attributes:
        store: the embeddings.
    """

    store: EmbeddingStore

    def __call__(self, inventory: Mapping[str, Json] | None) -> list[Problem]:
        """Everything wrong with the sets of an inventory (``embeddings.json``), or of the whole store."""
        known = self.store.keys()
        if inventory is None:
            return [problem for key in known for problem in self.store.verify(key)]
        problems: list[Problem] = []
        for encoder in inventory["encoders"].values():
            for place in encoder["sets"].values():
                if place["key"] in known:
                    problems += self.store.verify(place["key"])
                elif inventory["finished"]:
                    problems.append(Problem(self.store.locate(place["key"]), "is not there; extract again"))
        return list(dict.fromkeys(problems))
