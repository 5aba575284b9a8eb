"""The cells of a sweep: one experiment for each combination of choices, and the controls they are held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from fusionapp.application.services.rank_cells import Role
from fusionapp.domain.embeddings import fingerprint
from fusionapp.domain.fusion.spec import FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints.experiment.schema import DatasetSettings, Experiment
from fusionapp.entrypoints.experiment.structure import unstructure
from fusionapp.entrypoints.sweep.names import name_cells


@attrs.frozen
class Cell:
    """One experiment of a sweep.

    Attributes:
        dataset: its name.
        encoders: the encoder set, in fusion order.
        fusion: kind and options, as people read them.
        train: what the training settings change; "" for nothing.
        role: "cell" as asked for; "single source" and "linear_svm" are there to compare with.
        experiment: what is run; its name is the cell's and names its run directory.
    """

    dataset: str
    encoders: tuple[str, ...]
    fusion: str
    train: str
    role: Role
    experiment: Experiment

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.experiment.name


@attrs.frozen
class DatasetChoice:
    """A dataset of the sweep.

    Attributes:
        name: in cells' names; "" where there is but one.
        label: as people read it.
        settings: of its ``[dataset]`` table.
    """

    name: str
    label: str
    settings: DatasetSettings


@attrs.frozen
class FusionChoice:
    """A fusion of the sweep, as people read it and as a setting."""

    label: str
    settings: FusionSpec


@attrs.frozen
class TrainChoice:
    """Training settings of the sweep, by what they change and as a setting."""

    label: str
    settings: TrainingRecipe


@attrs.frozen
class Choices:
    """Everything that cells combine.

    Attributes:
        encoders: the encoder sets.
        fusions: how each set is fused.
        datasets: on what.
        train: by which training settings.
    """

    encoders: Sequence[tuple[str, ...]]
    fusions: Sequence[FusionChoice]
    datasets: Sequence[DatasetChoice]
    train: Sequence[TrainChoice]


def combine(shared: Experiment, choices: Choices) -> list[Cell]:
    """Every cell, and where ``[evaluate] baselines`` stands every control, once, before what is held against it.

    Controls are, for each dataset, each source alone by plain concatenation under each of the training settings,
    and one linear SVM for each encoder set. A single source that is a cell as well is run as that cell.

    Args:
        shared: the tables that all cells share; its encoders are the ones that sets choose from.
        choices: what cells combine.
    """
    found: dict[str, tuple[tuple[str, ...], Cell]] = {}
    for dataset in choices.datasets:
        for encoders in choices.encoders:
            for parts, cell in _of_set(shared, choices, dataset, encoders):
                # By what is computed, not by what it is called: shared settings have no label of their own.
                key = fingerprint(
                    {"svm": cell.role == "linear_svm", "experiment": unstructure(cell.experiment)}
                )
                if key not in found or cell.role == "cell":
                    found[key] = parts, cell
    names = name_cells([parts for parts, _ in found.values()])
    return [
        attrs.evolve(cell, experiment=attrs.evolve(cell.experiment, name=name))
        for name, (_, cell) in zip(names, found.values(), strict=True)
    ]


def _of_set(
    shared: Experiment, choices: Choices, dataset: DatasetChoice, encoders: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Cell]]:
    """One encoder set's controls and cells, each with the parts of its name."""
    plain = FusionChoice("concat", attrs.evolve(shared.fusion, kind="concat", residual=False))
    if shared.evaluate.baselines:
        for name in encoders:
            for train in choices.train:
                yield _cell(shared, dataset, (name,), plain, train, "single source")
        svm = attrs.evolve(plain, label="linear_svm")
        yield _cell(shared, dataset, encoders, svm, TrainChoice("", shared.train), "linear_svm")
    for fusion in choices.fusions:
        for train in choices.train:
            yield _cell(shared, dataset, encoders, fusion, train, "cell")


def _cell(
    shared: Experiment,
    dataset: DatasetChoice,
    encoders: tuple[str, ...],
    fusion: FusionChoice,
    train: TrainChoice,
    role: Role,
) -> tuple[tuple[str, ...], Cell]:
    sources = {name: recipe for name, recipe in train.settings.sources.items() if name in encoders}
    experiment = attrs.evolve(
        shared,
        dataset=dataset.settings,
        encoders={name: shared.encoders[name] for name in encoders},
        fusion=fusion.settings,
        train=attrs.evolve(train.settings, sources=sources),
        # Controls stand in cells of their own, once for all that are held against them.
        evaluate=attrs.evolve(shared.evaluate, baselines=False),
    )
    parts = (dataset.name, *encoders, fusion.label, train.label)
    return parts, Cell(dataset.label, encoders, fusion.label, train.label, role, experiment)
