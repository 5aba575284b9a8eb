"""What trained heads lose when a source, or one of its layers, tells them nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.charts import BarChart, Bars
from fusionapp.application.ports.head_inspector import Ablation, HeadInspector, Part
from fusionapp.application.ports.linear_path import LinearPath
from fusionapp.application.services.explanation import Finding, Subject
from fusionapp.application.services.share_linear_path import ShareLinearPath
from fusionapp.domain.embeddings import Embeddings, take_rows
from fusionapp.domain.scores import deviation
from fusionapp.domain.statistics.contrasts import contrasts
from fusionapp.domain.statistics.holm import holm
from fusionapp.domain.statistics.verdict import verdict

REFERENCE_ROWS = 4096
"""Train rows that the means are taken over: enough for a mean, and an ablation costs a pass over them."""

Hits = NDArray[np.bool_]
Sources = Mapping[str, Embeddings]

HEADER = (
    "part",
    "accuracy_without",
    "sd",
    "drop",
    "drop_sd",
    "drop_low",
    "drop_high",
    "adjusted_p",
    "the_whole_is",
    "accuracy_alone",
    "alone_sd",
)


@attrs.frozen
class ExplainAblation:
    """Removes parts of the input one at a time; nothing is trained.

    Attributes:
        inspector: runs the heads.
        path: scores the linear path, of which the same part is removed.
    """

    inspector: HeadInspector
    path: LinearPath

    def __call__(
        self, subject: Subject, directories: Sequence[str], train: Sources, path: str | None, draws: int
    ) -> list[Finding]:
        """Every source removed and every source alone; the same of every layer where a source has several.

        Args:
            subject: the rows to judge by.
            directories: of the heads.
            train: the train rows' embeddings, for the means that removed parts are replaced by.
            path: directory of the linear path; None for heads without one.
            draws: bootstrap draws.
        """
        wholes = [Part(name) for name in subject.sources]
        layers = [
            Part(name, layer)
            for name, views in subject.views.items()
            for layer in range(len(views) if len(views) > 1 else 0)
        ]
        reference = _reference(train)
        removals: list[tuple[Part, ...]] = [()]
        for part in (*wholes, *layers):
            removals += [(part,), _others(part, subject)]
        shares = None if path is None else ShareLinearPath(self.path)(path, subject.sources, reference)
        ablations = (
            Ablation(removed, None if shares is None else shares.without(removed)) for removed in removals
        )
        scored = self.inspector.score_without(directories, subject.sources, reference, ablations)
        whole, *rest = (values.argmax(-1) == subject.labels for values in scored)
        without, alone = rest[::2], rest[1::2]
        findings = [
            losses(
                "sources",
                "Sources",
                _READING.format(what="source", rows=REFERENCE_ROWS),
                [part.name for part in wholes],
                whole,
                without[: len(wholes)],
                alone[: len(wholes)],
                draws,
            )
        ]
        if layers:
            names = [subject.name(part) for part in layers]
            each = without[len(wholes) :], alone[len(wholes) :]
            reading = _READING.format(what="layer of a source", rows=REFERENCE_ROWS)
            findings.append(losses("layers", "Layers", reading, names, whole, *each, draws))
        return findings


_READING = (
    "Accuracy (mean and sd over seeds) when one {what} tells the trained heads nothing: its mean over train "
    "(at most {rows:,} rows) takes its place. `drop` is the whole less that, with its 95 % interval by "
    "paired bootstrap over the rows; `adjusted_p` and the verdict `the_whole_is` are after Holm's correction. "
    "`alone` is what the heads do when the means of all the others take their places."
)


def losses(
    name: str,
    title: str,
    reading: str,
    parts: Sequence[str],
    whole: Hits,
    without: Sequence[Hits],
    alone: Sequence[Hits],
    draws: int,
) -> Finding:
    """A table of what each part's absence costs.

    Args:
        name: of the finding.
        title: of the finding.
        reading: of the finding.
        parts: their names.
        whole: (heads, rows), where the whole is right.
        without: the same without each part.
        alone: the same of each part alone; empty where that was not tried.
        draws: bootstrap draws.
    """
    shares = np.stack([hits.mean(axis=0) for hits in (whole, *without)])
    found = contrasts(shares, [(0, place + 1) for place in range(len(parts))], draws)
    adjusted = holm({place: one.p_value for place, one in enumerate(found)})
    before = whole.mean(axis=1)
    rows = []
    for place, (part, difference) in enumerate(zip(parts, found, strict=True)):
        after = without[place].mean(axis=1)
        rows.append(
            (
                part,
                *_mean_sd(after),
                difference.estimate,
                deviation(before - after),
                difference.interval.low,
                difference.interval.high,
                adjusted[place],
                verdict(difference.interval, adjusted[place]),
                *(_mean_sd(alone[place].mean(axis=1)) if alone else (None, None)),
            )
        )
    drops, lows, highs = (np.array([row[column] for row in rows], dtype=np.float64) for column in (3, 5, 6))
    return Finding(
        name=name,
        title=title,
        reading=reading,
        header=HEADER,
        rows=rows,
        numbers={"accuracy": float(before.mean()), "drop": {str(row[0]): row[3] for row in rows}},
        figure=BarChart(
            title=f"{title}: what is lost without one of them",
            axis="drop in accuracy, with its 95 % interval",
            names=parts,
            groups={"drop": Bars(drops, lows, highs)},
        ),
    )


def _mean_sd(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values.mean()), deviation(values)


def _others(part: Part, subject: Subject) -> tuple[Part, ...]:
    """Every other source and, of the part's own, every other layer."""
    sources = (Part(name) for name in subject.sources if name != part.name)
    own = range(len(subject.views[part.name])) if part.layer is not None else ()
    return tuple(chain(sources, (Part(part.name, layer) for layer in own if layer != part.layer)))


def _reference(train: Sources) -> Sources:
    rows = next(iter(train.values())).shape[0]
    if rows <= REFERENCE_ROWS:
        return train
    spread = np.linspace(0, rows - 1, REFERENCE_ROWS).astype(np.int64)
    return {name: take_rows(embeddings, spread) for name, embeddings in train.items()}
