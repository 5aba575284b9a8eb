"""Looking into trained heads: what they lose without a part of their input, and what they weigh it by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.domain.embeddings import Embeddings


@attrs.frozen
class Part:
    """What a head weighs or can be deprived of.

    Attributes:
        name: of a source, or of an expert.
        layer: position of one view of a source, from 0; None for the whole.
    """

    name: str
    layer: int | None = None


@attrs.frozen(eq=False)
class Ablation:
    """A head's input with parts taken away.

    Attributes:
        removed: the parts; none leaves the input whole.
        linear: (rows, classes) decision values of the linear path over the same input; None without a path.
    """

    removed: tuple[Part, ...] = ()
    linear: NDArray[np.float32] | None = None


@attrs.frozen(eq=False)
class FusionWeights:
    """What a fusion weighs its parts by.

    Attributes:
        parts: sources (gated, late), views (attention) or experts (moe).
        weights: (heads, rows, parts) float32, each row's summing to 1: the mean over dimensions of a gate and
            over heads of attention.
    """

    parts: tuple[Part, ...]
    weights: NDArray[np.float32]


@attrs.frozen(eq=False)
class Interaction:
    """A product inside a fusion, as it is before it is normalised or squashed.

    Attributes:
        name: which product ("hadamard with lexical").
        quantity: "length": of the product of unit vectors, before it is normalised again; "saturated": share of
            power-normalised cells on the flat part of the tanh.
        values: (heads, rows) float32 lengths; (heads, 1) shares over all rows.
    """

    name: str
    quantity: Literal["length", "saturated"]
    values: NDArray[np.float32]


class HeadInspector(Protocol):
    """Inspects saved heads; trains nothing."""

    def score_without(
        self,
        directories: Sequence[str],
        sources: Mapping[str, Embeddings],
        reference: Mapping[str, Embeddings],
        ablations: Iterable[Ablation],
    ) -> Iterator[NDArray[np.float32]]:
        """Class probabilities of each head for each ablation: (heads, rows, classes) each.

        A removed part enters the fusion as its mean over the reference rows: it says the same of every row, and
        what follows sees numbers of the size that it was trained on, which zeros need not be.

        Args:
            directories: of the heads.
            sources: by encoder name, the ones that the heads were trained on.
            reference: the same sources of the train rows.
            ablations: taken one at a time, as the scores are.

        Raises:
            UsageError: the sources are not those that a head was trained on, or a part that is not there.
            CorruptArtifactError: an artefact is missing or unreadable.
            ResourceError: a batch does not fit in memory.
        """

    def weights(self, directories: Sequence[str], sources: Mapping[str, Embeddings]) -> FusionWeights | None:
        """What each head weighs its parts by, row by row; None where its fusion weighs none.

        Raises:
            UsageError, CorruptArtifactError, ResourceError: as `score_without`.
        """

    def interactions(
        self, directories: Sequence[str], sources: Mapping[str, Embeddings]
    ) -> Sequence[Interaction]:
        """The products inside each head's fusion, in order; empty where it makes none.

        Raises:
            UsageError, CorruptArtifactError, ResourceError: as `score_without`.
        """

    def linear_scales(self, directories: Sequence[str]) -> Sequence[float] | None:
        """What each head multiplies the linear path's scores by; None where they were trained without a path.

        Raises:
            CorruptArtifactError: an artefact is missing or unreadable.
        """
