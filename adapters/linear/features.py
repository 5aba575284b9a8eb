"""What a linear control sees of the sources: rows of length 1, whatever their layers or vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import attrs
import numpy as np

from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.errors import UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.linear import Design
from fusionapp.domain.normalization import l2_normalize


@attrs.frozen
class LinearFeatures:
    """A fitted map from sources to a design.

    Layers are L2-normalised, concatenated and divided by sqrt(layers), so that an encoder with many layers does
    not drown a source with one: on GoEmotions the SVM over MiniLM's six layers and hashed n-grams reaches
    accuracy .621 with that division and .605 without.

    Attributes:
        weightings: by source in the order of train, the TF-IDF of a sparse source, None for a dense one.
    """

    weightings: Mapping[str, LexicalWeighting | None]

    @classmethod
    def fit(cls, sources: Mapping[str, Embeddings]) -> LinearFeatures:
        """Learn document frequencies from the train rows."""
        return cls(
            {
                name: None if isinstance(embeddings, np.ndarray) else LexicalWeighting.fit(embeddings)
                for name, embeddings in sources.items()
            }
        )

    def transform(self, sources: Mapping[str, Embeddings]) -> Design:
        """The sources' rows as blocks, the intercept's ones at the dense block's end.

        Args:
            sources: the ones fitted: dense (rows, layers, dim) or CSR (rows, vocabulary) of counts.

        Raises:
            UsageError: a source is missing, or dense where it was sparse.
        """
        dense, sparse = [], []
        for name, weighting in self.weightings.items():
            if name not in sources:
                raise UsageError(f"linear control: no embeddings of {name!r}; extract every split with it")
            embeddings = sources[name]
            if isinstance(embeddings, np.ndarray):
                if weighting is not None:
                    raise UsageError(f"linear control: {name!r} was sparse in train and is dense here")
                layers = l2_normalize(embeddings).reshape(len(embeddings), -1)
                dense.append(layers / np.float32(sqrt(embeddings.shape[1])))
            else:
                if weighting is None:
                    raise UsageError(f"linear control: {name!r} was dense in train and is sparse here")
                sparse.append(weighting.transform(embeddings))
        rows = next(iter(sources.values())).shape[0]
        ones = np.ones((rows, 1), dtype=np.float32)
        return Design(np.concatenate([*dense, ones], axis=1), tuple(sparse))
