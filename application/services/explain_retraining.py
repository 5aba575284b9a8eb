"""What a fusion loses when it is trained without a source from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.services.explain_ablation import losses
from fusionapp.application.services.explanation import Finding
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.prepare_classification import ClassificationData, encode_labels
from fusionapp.application.services.score_heads import ScoreHeads
from fusionapp.application.services.train_classifier import TrainClassifier
from fusionapp.domain.embeddings import Json
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe

GROUP = "ablations/without-{name}"


@attrs.frozen
class ExplainRetraining:
    """Trains the fusion anew over all sources but one, for each source.

    Attributes:
        train: trains, or finds what an earlier call trained.
        score: runs the heads.
    """

    train: TrainClassifier
    score: ScoreHeads

    def __call__(
        self,
        fusion: FusionSpec,
        recipe: TrainingRecipe,
        seeds: Sequence[int],
        data: ClassificationData,
        split: SplitEmbeddings,
        carried: Mapping[str, Json],
        label_column: str,
        draws: int,
    ) -> Finding | None:
        """A table of what each source's absence costs; None where there is a single source.

        Args:
            fusion: of the run.
            recipe: of the run.
            seeds: of the run; each source's absence is trained with all of them.
            data: what to train on and choose by.
            split: the rows to judge by.
            carried: what the run's heads carry.
            label_column: for messages.
            draws: bootstrap draws.
        """
        names = list(data.train.sources)
        if len(names) < 2:
            return None
        labels = encode_labels(split, data.classes, label_column)
        whole = self.score("models", seeds, split).seeds.predicted == labels
        without = []
        for name in names:
            others = [other for other in names if other != name]
            group = GROUP.format(name=name)
            self.train(group, fusion, recipe, seeds, data, carried, others)
            without.append(self.score(group, seeds, split, others).seeds.predicted == labels)
        return losses("retrained", "Sources, trained anew", _READING, names, whole, without, (), draws)


_READING = (
    "Accuracy (mean and sd over seeds) when heads are trained from the start without a source, so that the "
    "others can stand in for it. `drop` is the whole less that, with its 95 % interval by paired bootstrap over "
    "the rows; `adjusted_p` and the verdict `the_whole_is` are after Holm's correction. A source that the "
    "trained heads miss but that training can do without is redundant."
)
