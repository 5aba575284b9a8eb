"""Rank the cells of a sweep by validation, and hold each against its controls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.run_store import RunStore
from fusionapp.domain.scores import Summary
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.contrasts import contrasts
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.verdict import Verdict, verdict

Role = Literal["cell", "single source", "linear_svm"]


@attrs.frozen
class Entrant:
    """A cell or a control as it was run.

    Attributes:
        name: of its run directory.
        dataset: rows are ranked and compared within a dataset.
        encoders: the encoder set.
        fusion: kind and options, as people read them.
        train: what the training settings change; "" for nothing.
        role: "cell" as asked for; "single source" and "linear_svm" are there to compare with.
        validation: mean validation accuracy over seeds; None where it failed.
        validation_sd: over seeds.
        metrics: of the mean of seeds on the split judged by; empty where it failed.
        ensemble: of the ensemble of seeds; empty where there is none.
        seconds: training time.
        parameters: trained numbers of one seed, where they were counted.
        note: what was chosen (a linear model's C).
        error: why it failed; "" where it did not.
    """

    name: str
    dataset: str
    encoders: tuple[str, ...]
    fusion: str
    train: str
    role: Role
    validation: float | None = None
    validation_sd: float = 0.0
    metrics: Mapping[str, Summary] = attrs.field(factory=dict)
    ensemble: Mapping[str, Summary] = attrs.field(factory=dict)
    seconds: float = 0.0
    parameters: int | None = None
    note: str = ""
    error: str = ""

    @property
    def alone(self) -> bool:
        """Whether it is a single source by concatenation, asked for as a cell or not."""
        return len(self.encoders) == 1 and self.fusion.split(" ")[0] == "concat"


@attrs.frozen
class Comparison:
    """A cell against one control.

    Attributes:
        control: the control's name.
        difference: test accuracy of the cell less the control's; its p-value is raw.
        adjusted_p: the p-value after Holm's correction over all comparisons of the board.
        verdict: of the cell against the control.
    """

    control: str
    difference: Difference
    adjusted_p: float
    verdict: Verdict


@attrs.frozen
class BoardRow:
    """An entrant in its place.

    Attributes:
        rank: within its dataset, by validation accuracy, from 1, shared by equals; None where it failed.
        entrant: the cell or control.
        best_single: against the single source of its set that does best on validation; None where there is none.
        linear_svm: against the tuned linear SVM over its set; None where there is none.
    """

    rank: int | None
    entrant: Entrant
    best_single: Comparison | None
    linear_svm: Comparison | None


Judged = Mapping[str, "RightRows"]


@attrs.frozen(eq=False)
class RightRows:
    """Which rows an entrant got right.

    Attributes:
        rows: (rows,) row numbers in the dataset, ascending.
        right: (rows,) share of seeds that said the label.
    """

    rows: NDArray[np.int64]
    right: NDArray[np.float64]


def read_right_rows(runs: RunStore, split: str) -> RightRows:
    """Which rows a run got right, by the scores that were kept.

    Raises:
        UsageError: the split was not evaluated.
        CorruptArtifactError: the scores were changed.
    """
    table = runs.read_table(f"scores/{split}/result.parquet")
    seeds = [name for name in table if name.startswith("seed") and not name.endswith("_probability")]
    right = np.mean([np.asarray(table[seed] == table["label"], dtype=np.float64) for seed in seeds], axis=0)
    return RightRows(np.asarray(table["row"], dtype=np.int64), right)


@attrs.frozen
class RankCells:
    """Ranks by validation accuracy; test rows decide verdicts alone."""

    def __call__(self, entrants: Sequence[Entrant], judged: Judged, draws: int) -> list[BoardRow]:
        """Rows by dataset, in the order given, and rank; what failed comes last.

        Args:
            entrants: cells and controls, with unique names.
            judged: by name, which rows each got right; without it an entrant is compared with nothing.
            draws: bootstrap draws.
        """
        pairs = {
            (cell.name, kind): (cell, control)
            for cell in entrants
            if cell.role == "cell" and cell.name in judged
            for kind, control in _controls(
                cell, [other for other in entrants if other.name in judged]
            ).items()
        }
        differences = _differences(pairs, judged, draws)
        adjusted = holm({key: difference.p_value for key, difference in differences.items()})
        found = {
            key: Comparison(
                pairs[key][1].name, difference, adjusted[key], verdict(difference.interval, adjusted[key])
            )
            for key, difference in differences.items()
        }
        return [
            BoardRow(rank, one, found.get((one.name, "best single")), found.get((one.name, "linear SVM")))
            for rank, one in _ranked(entrants)
        ]


def _controls(cell: Entrant, entrants: Sequence[Entrant]) -> dict[str, Entrant]:
    """The best single source by validation, and the linear SVM over the same set, where there are any."""
    same = [other for other in entrants if other.dataset == cell.dataset and other.name != cell.name]
    singles = [
        other for other in same if other.alone and other.encoders[0] in cell.encoders and not cell.alone
    ]
    found = {}
    if singles:
        found["best single"] = max(singles, key=_reached)
    for other in same:
        if other.role == "linear_svm" and other.encoders == cell.encoders:
            found["linear SVM"] = other
    return found


Key = tuple[str, str]


def _differences(
    pairs: Mapping[Key, tuple[Entrant, Entrant]], judged: Judged, draws: int
) -> dict[Key, Difference]:
    """Each pair over the rows that both have; pairs over the same rows share their draws."""
    alike: dict[tuple[str, bytes], list[Key]] = defaultdict(list)
    for key, (cell, control) in pairs.items():
        rows = np.intersect1d(judged[cell.name].rows, judged[control.name].rows, assume_unique=True)
        alike[cell.dataset, rows.tobytes()].append(key)
    found: dict[Key, Difference] = {}
    for (_, rows_bytes), keys in alike.items():
        rows = np.frombuffer(rows_bytes, dtype=np.int64)
        names = list(dict.fromkeys(one.name for key in keys for one in pairs[key]))
        position = {name: index for index, name in enumerate(names)}
        scores = np.stack([_at(judged[name], rows) for name in names])
        places = [(position[pairs[key][0].name], position[pairs[key][1].name]) for key in keys]
        found |= dict(zip(keys, contrasts(scores, places, draws), strict=True))
    return {key: found[key] for key in pairs}


def _at(one: RightRows, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return one.right[np.searchsorted(one.rows, rows)]


def _ranked(entrants: Sequence[Entrant]) -> list[tuple[int | None, Entrant]]:
    ranked: list[tuple[int | None, Entrant]] = []
    for dataset in dict.fromkeys(one.dataset for one in entrants):
        here = [one for one in entrants if one.dataset == dataset]
        done = sorted((one for one in here if not one.error), key=_reached, reverse=True)
        ranked += [(1 + sum(_reached(other) > _reached(one) for other in done), one) for one in done]
        ranked += [(None, one) for one in here if one.error]
    return ranked


def _reached(one: Entrant) -> float:
    return one.validation or 0.0
