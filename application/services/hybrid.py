"""A dense ranking and one by words as one, in the way that `evaluate` chose on validation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.vector_index import Hits
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.retrieval.rank_fusion import above_zero, reciprocal_rank_fusion, weighted_fusion

DOCUMENT = "hybrids.json"


@attrs.frozen
class Hybrid:
    """How two rankings become one.

    Attributes:
        words: the lexical one's name.
        weight: of the dense scores, the lexical ones having the rest; None: by reciprocal ranks.
    """

    words: str
    weight: float | None = None

    def __str__(self) -> str:
        if self.weight is None:
            return f"reciprocal ranks of dense and {self.words}"
        return f"{self.weight:g} dense + {1 - self.weight:g} {self.words}"

    def fuse(self, dense: Hits, words: Hits, k: int) -> Hits:
        """The k best of both; a query that shares no word with any document goes by the dense ranking alone."""
        if self.weight is None:
            return Hits(*reciprocal_rank_fusion([dense.rows, above_zero(words.rows, words.scores)], k))
        first, second = (dense.rows, dense.scores), (words.rows, words.scores)
        rows, scores = weighted_fusion(first, second, self.weight, k)
        silent = ~(words.scores > 0).any(axis=1)
        if silent.any():
            first, second = ((one[silent], other[silent]) for one, other in (first, second))
            rows[silent], scores[silent] = weighted_fusion(first, second, 1.0, k)
        return Hits(rows, scores)


def keep_hybrids(runs: RunStore, chosen: Sequence[tuple[Mapping[str, Json], Hybrid]], depth: int) -> None:
    """Write down which encoder is fused how.

    Args:
        runs: the run directory.
        chosen: an encoder's identity as it reads documents, with its hybrid.
        depth: how many documents of each ranking were fused.
    """
    encoders = [{"identity": dict(identity), **attrs.asdict(hybrid)} for identity, hybrid in chosen]
    runs.write_document(DOCUMENT, {"depth": depth, "encoders": encoders})


def has_hybrids(runs: RunStore) -> bool:
    """Whether it was written down how encoders are fused."""
    return runs.read_document(DOCUMENT) is not None


def kept_hybrid(
    runs: RunStore, identity: Mapping[str, Json], words: Collection[str]
) -> tuple[Hybrid, int] | None:
    """What was chosen for an encoder, and how many documents of each ranking it fuses; None where nothing was.

    Args:
        runs: the run directory.
        identity: of the encoder as it reads documents, as an index has it written down.
        words: the lexical rankings that there are.

    Raises:
        CorruptArtifactError: the document is not what was written.
    """
    document = runs.read_document(DOCUMENT)
    if document is None:
        return None
    try:
        for one in document["encoders"]:
            if one["identity"] == identity:
                return _read(one, words), _read_depth(document["depth"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{runs.path(DOCUMENT)}: does not say how rankings are fused; run `fusionapp evaluate --overwrite`"
        ) from error
    return None


def _read(one: Mapping[str, Json], words: Collection[str]) -> Hybrid:
    name, weight = one["words"], one["weight"]
    if name not in words or not (weight is None or 0 <= weight <= 1):
        raise ValueError(f"{name!r} with weight {weight!r}")
    return Hybrid(name, weight)


def _read_depth(depth: Json) -> int:
    if not isinstance(depth, int) or depth < 1:
        raise ValueError(f"depth {depth!r}")
    return depth
