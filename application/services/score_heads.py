"""Score one split with a group of heads and keep what they said of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import HeadScorer
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.domain.scores import Scores, ensemble


@attrs.frozen(eq=False)
class HeadScores:
    """What a group of heads says.

    Attributes:
        seeds: one run per seed.
        ensemble: the mean of the seeds' probabilities, as a single run.
    """

    seeds: Scores
    ensemble: Scores


@attrs.frozen
class ScoreHeads:
    """Runs saved heads over stored embeddings.

    Attributes:
        scorer: runs the heads.
        runs: the run directory, which holds the heads and receives the scores.
    """

    scorer: HeadScorer
    runs: RunStore

    def __call__(
        self, group: str, seeds: Sequence[int], split: SplitEmbeddings, sources: Sequence[str] = ()
    ) -> HeadScores:
        """Class scores of every row of a split.

        Args:
            group: directory of the heads under the run ("models", "controls/concat").
            seeds: which heads.
            split: the rows.
            sources: the encoders that the heads were trained on; empty for all.

        Raises:
            CorruptArtifactError: a head is missing or was changed.
        """
        embeddings = {name: split.sources[name] for name in sources or split.sources}
        directories = [self.runs.path(f"{group}/seed-{seed}") for seed in seeds]
        probabilities = self.scorer.score(directories, embeddings)
        return HeadScores(Scores.of(probabilities), Scores.of(ensemble(probabilities)))


def write_scores(
    runs: RunStore,
    name: str,
    split: SplitEmbeddings,
    classes: Sequence[str],
    scores: Mapping[str, Scores],
) -> None:
    """Keep per-example scores as ``scores/SPLIT/NAME.parquet``, so that any comparison can be recomputed.

    Columns: row, id (JSON), label, then for each run its predicted label and, where there is one, the
    probability of it.
    """
    columns: dict[str, Sequence[object] | NDArray[np.generic]] = {
        "row": split.rows,
        "id": [dumps(dict(value)) for value in split.ids],
        "label": [str(label) for label in split.labels],
    }
    for run, values in scores.items():
        for index, predicted in enumerate(values.predicted):
            column = f"{run}-{index}" if len(values.predicted) > 1 else run
            columns[column] = [classes[position] for position in predicted]
            if values.probabilities is not None:
                columns[f"{column}_probability"] = values.probabilities[index].max(axis=-1)
    runs.write_table(f"scores/{split.split}/{name}.parquet", columns)
