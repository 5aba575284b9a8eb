"""Classify new texts, from raw text on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.heads import HeadScorer
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.domain.scores import ensemble


@attrs.frozen
class Prediction:
    """What a model says of one text.

    Attributes:
        text: the text.
        label: the most probable class, as printed in the training data.
        probability: of that class.
        probabilities: of every class, summing to 1.
    """

    text: str
    label: str
    probability: float
    probabilities: Mapping[str, float]


@attrs.frozen
class ClassifyTexts:
    """Encodes texts and asks the heads.

    Attributes:
        scorer: runs the heads.
        path: scores the linear path that they add to.
    """

    scorer: HeadScorer
    path: LinearPath

    def __call__(
        self,
        texts: Iterable[str],
        encoders: Mapping[str, Encoder],
        directories: Sequence[str],
        classes: Sequence[str],
        path: str | None = None,
        batch_size: int = 1024,
    ) -> Iterator[Prediction]:
        """Predictions in input order, a batch at a time: the mean of the heads' probabilities.

        Args:
            texts: what to classify; read as the predictions are taken.
            encoders: by name, the ones that the heads were trained on.
            directories: of the heads; several are an ensemble.
            classes: labels in the order of class indices.
            path: directory of the linear path that the heads add to; None without one.
            batch_size: texts encoded at a time; it does not change a prediction.

        Raises:
            UsageError: a text is blank, or cannot be encoded.
        """
        remaining, start = iter(texts), 0
        while batch := list(islice(remaining, batch_size)):
            probabilities = self._probabilities(batch, start, encoders, directories, path)
            for text, row in zip(batch, probabilities, strict=True):
                yield _prediction(text, row, classes)
            start += len(batch)

    def _probabilities(
        self,
        texts: Sequence[str],
        first: int,
        encoders: Mapping[str, Encoder],
        directories: Sequence[str],
        path: str | None,
    ) -> NDArray[np.float32]:
        sources = encode_texts(texts, first, encoders)
        linear = None if path is None else self.path.score(path, sources)
        mean: NDArray[np.float32] = ensemble(self.scorer.score(directories, sources, linear))[0]
        return mean


def _prediction(text: str, probabilities: NDArray[np.float32], classes: Sequence[str]) -> Prediction:
    best = int(probabilities.argmax())
    return Prediction(
        text=text,
        label=classes[best],
        probability=float(probabilities[best]),
        probabilities={name: float(value) for name, value in zip(classes, probabilities, strict=True)},
    )
