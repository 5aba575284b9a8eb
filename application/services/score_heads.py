"""Score one split with a group of heads and keep what they said of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.heads import HeadScorer
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.domain.errors import CorruptArtifactError
from fusionapp.domain.scores import Scores, ensemble


@attrs.frozen(eq=False)
class HeadScores:
    """What a group of heads says.

    Attributes:
        seeds: one run per seed.
        ensemble: the mean of the seeds' probabilities, as a single run.
        path: the linear path that they add to, as a single run; None without one.
    """

    seeds: Scores
    ensemble: Scores
    path: Scores | None = None


@attrs.frozen
class ScoreHeads:
    """Runs saved heads over stored embeddings.

    Attributes:
        scorer: runs the heads.
        path: scores the linear path that they add to.
        runs: the run directory, which holds the heads and receives the scores.
    """

    scorer: HeadScorer
    path: LinearPath
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
            CorruptArtifactError: a head, or the linear path that it adds to, is missing or was changed.
        """
        embeddings = {name: split.sources[name] for name in sources or split.sources}
        directories = [self.runs.path(f"{group}/seed-{seed}") for seed in seeds]
        linear = None
        if self._adds_to_path(f"{group}/seed-{seeds[0]}/model.json"):
            linear = self.path.score(self.runs.path(f"{group}/{LINEAR_PATH}"), embeddings)
        probabilities = self.scorer.score(directories, embeddings, linear)
        return HeadScores(
            Scores.of(probabilities),
            Scores.of(ensemble(probabilities)),
            None if linear is None else Scores.of(linear[None], probabilistic=False),
        )

    def _adds_to_path(self, name: str) -> bool:
        model = self.runs.read_document(name)
        if model is None or "linear_path" not in model:
            raise CorruptArtifactError(
                f"{self.runs.directory}/{name}: is missing or an earlier version's; train again with --overwrite"
            )
        return bool(model["linear_path"])


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
