"""Explain a trained run on one split, from its saved heads and stored embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.ports.head_inspector import Ablation, HeadInspector
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.explain_ablation import ExplainAblation
from fusionapp.application.services.explain_fusion import ExplainFusion
from fusionapp.application.services.explain_predictions import ExplainPredictions
from fusionapp.application.services.explanation import Finding, Subject
from fusionapp.application.services.fit_linear_path import LINEAR_PATH
from fusionapp.domain.embeddings import Embeddings
from fusionapp.domain.scores import ensemble


@attrs.frozen
class ExplainClassifier:
    """Asks of the heads what they lose, weigh and get wrong; trains nothing.

    Attributes:
        inspector: opens heads.
        path: scores the linear path that they were trained beside.
        spool: texts and ids.
        runs: the run directory, which holds the heads.
    """

    inspector: HeadInspector
    path: LinearPath
    spool: Spool
    runs: RunStore

    def __call__(
        self,
        subject: Subject,
        group: str,
        seeds: Sequence[int],
        train: Mapping[str, Embeddings],
        draws: int,
    ) -> list[Finding]:
        """Every finding that these heads and these rows allow.

        Args:
            subject: the rows.
            group: directory of the heads under the run.
            seeds: which heads.
            train: the train rows' embeddings.
            draws: bootstrap draws.

        Raises:
            CorruptArtifactError: a head or the linear path is missing or was changed.
            UsageError: the sources are not those that the heads were trained on.
            ResourceError: a batch does not fit in memory.
        """
        directories = [self.runs.path(f"{group}/seed-{seed}") for seed in seeds]
        scales = self.inspector.linear_scales(directories)
        path = None if scales is None else self.runs.path(f"{group}/{LINEAR_PATH}")
        linear = None if path is None else self.path.score(path, subject.sources)
        (probabilities,) = self.inspector.score_without(
            directories, subject.sources, subject.sources, [Ablation((), linear)]
        )
        ablation = ExplainAblation(self.inspector, self.path)
        return [
            *ablation(subject, directories, train, path, draws),
            *ExplainFusion(self.inspector)(subject, directories, linear, draws),
            *ExplainPredictions(self.spool)(subject, ensemble(probabilities)[0]),
        ]
