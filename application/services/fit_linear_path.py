"""Fit the linear path that a group of heads adds to, and put its scores beside the rows they are trained on."""

from __future__ import annotations

from time import perf_counter

import attrs

from fusionapp.application.ports.heads import LabelledEmbeddings
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.ports.progress import Progress
from fusionapp.domain.metrics import accuracy
from fusionapp.domain.recipe import TrainingRecipe

LINEAR_PATH = "linear"
"""Directory of the linear path below its group of heads."""


@attrs.frozen
class FittedPath:
    """The linear path that a group of heads adds to.

    Attributes:
        cost: the C chosen on validation.
        validation: its accuracy there, without any head.
        seconds: spent on fitting it, choice of C and folds included.
    """

    cost: float
    validation: float
    seconds: float


@attrs.frozen(eq=False)
class RowsBesidePath:
    """Rows to train and to choose heads on.

    Attributes:
        train: with the path's scores, out of fold; without any where there is no path.
        validation: with the scores of the path itself, which did not see these rows.
        path: what was fitted; None without one.
    """

    train: LabelledEmbeddings
    validation: LabelledEmbeddings
    path: FittedPath | None = None


@attrs.frozen
class FitLinearPath:
    """Fits the path that a recipe asks for.

    Attributes:
        path: fits and keeps it.
        progress: told of the fits.
    """

    path: LinearPath
    progress: Progress

    def __call__(
        self,
        recipe: TrainingRecipe,
        classes: int,
        train: LabelledEmbeddings,
        validation: LabelledEmbeddings,
        seed: int,
        directory: str,
    ) -> RowsBesidePath:
        """Both splits with the path's scores; as they are where the recipe asks for no path.

        Args:
            recipe: which path, its C values and folds, and how sources enter.
            classes: how many.
            train: rows to fit on.
            validation: rows to choose C by; nothing is fitted to them.
            seed: of the folds.
            directory: of the group of heads; the path goes below it.

        Raises:
            UsageError: the path cannot be fitted to these rows.
        """
        if recipe.linear_path == "none":
            return RowsBesidePath(train, validation)
        start = perf_counter()
        scores = self.path.fit(
            kind=recipe.linear_path,
            classes=classes,
            train=train,
            validation=validation,
            recipes=recipe.sources,
            costs=recipe.linear_costs,
            folds=recipe.linear_folds,
            seed=seed,
            directory=f"{directory}/{LINEAR_PATH}",
            progress=self.progress,
        )
        reached = accuracy(validation.labels, scores.validation.argmax(-1))
        return RowsBesidePath(
            attrs.evolve(train, linear=scores.train),
            attrs.evolve(validation, linear=scores.validation),
            FittedPath(scores.cost, reached, perf_counter() - start),
        )
