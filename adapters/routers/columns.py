"""What a router's base reads: unit vectors and features of prompts, side by side, and their principal axes."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from fusionapp.domain.errors import UsageError
from fusionapp.domain.routing.features import fit_features, standard_features
from fusionapp.domain.standardization import Standardization

Floats = NDArray[np.float32]


@attrs.frozen(eq=False)
class Columns:
    """Makes a prompt's columns: its unit vector less train's mean; features of mean square 1, all together.

    Attributes:
        centre: (dim,) float32, the mean unit vector of train; nothing without a dense encoder.
        features: as train had them; None where none are read.
    """

    centre: Floats
    features: Standardization | None

    @classmethod
    def fit(cls, units: Floats, features: Floats | None) -> Columns:
        """Of train's unit vectors (prompts, dim) and features (prompts, features)."""
        centre = units.mean(axis=0, dtype=np.float64).astype(np.float32)
        return cls(centre, None if features is None else fit_features(features))

    def __call__(self, units: Floats, features: Floats | None) -> Floats:
        """(prompts, dim + features) float32.

        Raises:
            UsageError: there are no features, and train had some.
        """
        centred: Floats = units - self.centre
        scaled = self._scaled(features)
        return centred if scaled is None else np.hstack([centred, scaled])

    def times(self, matrix: Floats, of_units: Floats, features: Floats | None) -> Floats:
        """(prompts, outputs): the columns @ matrix (dim + features, outputs), which need not be made for it.

        Args:
            matrix: what they are multiplied by.
            of_units: (prompts, outputs) unit vectors @ the first of its rows.
            features: as for the columns.

        Raises:
            UsageError: as for the columns.
        """
        dim = len(self.centre)
        told: Floats = of_units - self.centre @ matrix[:dim]
        scaled = self._scaled(features)
        return told if scaled is None else told + scaled @ matrix[dim:]

    def _scaled(self, features: Floats | None) -> Floats | None:
        if self.features is None:
            return None
        if features is None:
            raise UsageError("routing: the router was trained on features of texts too; give them")
        scaled: Floats = standard_features(features, self.features) / np.float32(features.shape[1] ** 0.5)
        return scaled


def principal_axes(columns: Floats, most: int) -> Floats:
    """(columns, up to `most`) float32 of length 1, at right angles, the one of greatest variance first.

    Args:
        columns: (prompts, columns) of train, of mean about 0.
        most: how many at most.
    """
    width = columns.shape[1]
    gram = (columns.T @ columns).astype(np.float64)
    _, axes = eigh(gram, subset_by_index=[max(0, width - most), width - 1])
    return np.ascontiguousarray(axes[:, ::-1], dtype=np.float32)
