"""What happens inside a fusion: what it weighs, how its products fare, and what the linear path contributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.application.ports.charts import BarChart, Bars, Heatmap
from fusionapp.application.ports.head_inspector import Ablation, FusionWeights, HeadInspector, Interaction
from fusionapp.application.services.explanation import MOST_DRAWN, Finding, Subject
from fusionapp.domain.scores import deviation
from fusionapp.domain.statistics.bootstrap import Difference
from fusionapp.domain.statistics.contrasts import contrasts

VANISHED = 1e-5
"""A product of unit vectors shorter than this has lost two or more of float32's seven digits to cancellation."""
_BORNE = {"length": 0.01, "saturated": 0.5}
"""Share of vanished rows, or of saturated cells, from which on a warning is due."""


@attrs.frozen
class ExplainFusion:
    """Looks into trained heads.

    Attributes:
        inspector: opens them.
    """

    inspector: HeadInspector

    def __call__(
        self, subject: Subject, directories: Sequence[str], linear: NDArray[np.float32] | None, draws: int
    ) -> list[Finding]:
        """Weights by class, interactions and the linear path's share, each where the heads have them.

        Args:
            subject: the rows.
            directories: of the heads.
            linear: (rows, classes) scores of the linear path over the rows; None without a path.
            draws: bootstrap draws.
        """
        findings = []
        weights = self.inspector.weights(directories, subject.sources)
        if weights is not None:
            findings.append(weights_by_class(subject, weights))
        interactions = self.inspector.interactions(directories, subject.sources)
        if interactions:
            findings.append(interaction_lengths(interactions))
        scales = self.inspector.linear_scales(directories)
        if scales is not None and linear is not None:
            findings.append(self._path(subject, directories, linear, scales, draws))
        return findings

    def _path(
        self,
        subject: Subject,
        directories: Sequence[str],
        linear: NDArray[np.float32],
        scales: Sequence[float],
        draws: int,
    ) -> Finding:
        silent = np.zeros_like(linear)
        scored = self.inspector.score_without(
            directories, subject.sources, subject.sources, [Ablation((), silent), Ablation((), linear)]
        )
        alone, both = (values.argmax(-1) == subject.labels for values in scored)
        path = (linear.argmax(-1) == subject.labels)[None]
        return _shares_of_path(
            subject, {"path alone": path, "network alone": alone, "both": both}, scales, draws
        )


def _shares_of_path(
    subject: Subject, hits: Mapping[str, NDArray[np.bool_]], scales: Sequence[float], draws: int
) -> Finding:
    accuracies = {name: right.mean(axis=1) for name, right in hits.items()}
    means = np.array([values.mean() for values in accuracies.values()])
    spread = np.array([deviation(values) for values in accuracies.values()])
    shares = np.stack([right.mean(axis=0) for right in hits.values()])
    gains = [*contrasts(shares, [(2, 0), (2, 1)], draws), None]
    return Finding(
        name="linear-path",
        title="The linear path's share",
        reading=(
            "A head's logits are its network's plus its scale times the linear path's scores. Accuracy of either "
            "alone and of both, and what both gain over it, with the 95 % interval by paired bootstrap."
        ),
        header=("what", "accuracy", "sd", "gain_of_both", "gain_low", "gain_high"),
        rows=[
            (name, float(mean), float(sd), *_gain(gain))
            for name, mean, sd, gain in zip(hits, means, spread, gains, strict=True)
        ],
        numbers={
            "scales": list(scales),
            **{name.replace(" ", "_"): float(mean) for name, mean in zip(hits, means, strict=True)},
        },
        figure=BarChart(
            title=f"Linear path and network ({subject.split})",
            axis="accuracy, ± one standard deviation over seeds",
            names=list(hits),
            groups={"accuracy": Bars(means, means - spread, means + spread)},
        ),
    )


def _gain(gain: Difference | None) -> tuple[float | None, float | None, float | None]:
    return (None,) * 3 if gain is None else (gain.estimate, gain.interval.low, gain.interval.high)


def weights_by_class(subject: Subject, weights: FusionWeights) -> Finding:
    """Mean weight of each part over the rows of each true class and over heads."""
    means = weights.weights.mean(axis=0, dtype=np.float64)
    classes = len(subject.classes)
    support = np.bincount(subject.labels, minlength=classes)
    sums = np.zeros((classes, means.shape[1]))
    np.add.at(sums, subject.labels, means)
    by_class = sums / np.where(support, support, np.nan)[:, None]
    overall = weights.weights.mean(axis=1, dtype=np.float64)
    names = [subject.name(part) for part in weights.parts]
    shown = subject.largest(support)
    part = "" if len(shown) == classes else f", the {MOST_DRAWN} largest classes"
    return Finding(
        name="weights",
        title="What the fusion weighs",
        reading=(
            "Mean weight of each part over the rows of a class and over seeds; a row's weights sum to 1. A "
            "weight says how much of a part is let through, not how much it is worth: for that see the "
            "ablations."
        ),
        header=("class", "rows", *names),
        rows=[
            (name, int(count), *(None if np.isnan(w) else float(w) for w in row))
            for name, count, row in zip(subject.classes, support, by_class, strict=True)
        ],
        numbers={
            name: {"mean": float(values.mean()), "sd": deviation(values)}
            for name, values in zip(names, overall.T, strict=True)
        },
        figure=Heatmap(
            title=f"Mean weight by class ({subject.split}{part})",
            row_axis="class",
            column_axis="part",
            rows=[subject.classes[each] for each in shown],
            columns=names,
            values=by_class[shown],
        ),
    )


def interaction_lengths(interactions: Sequence[Interaction]) -> Finding:
    """How long products are, or how saturated their cells, and a warning where nothing is left of them."""
    rows = [_interaction(one) for one in interactions]
    means, lows, highs = (np.array([row[column] for row in rows], dtype=np.float64) for column in (2, 4, 5))
    lengths = interactions[0].quantity == "length"
    return Finding(
        name="interactions",
        title="Interactions",
        reading=(
            "`length` is that of a product of unit vectors before it is normalised again, its mean, its sd "
            f"over seeds and where 95 % of the rows lie (of `saturated`, its least and its largest seed); "
            f"`flat` is the share of rows below {VANISHED:g}, "
            "where cancellation has eaten the digits. `saturated` is the share of co-occurrence cells "
            "beyond ±0.99, where the tanh is flat and no longer tells rows apart."
        ),
        header=("product", "quantity", "mean", "sd", "low", "high", "flat"),
        rows=rows,
        numbers={str(row[0]): {"mean": row[2], "flat": row[6]} for row in rows},
        figure=BarChart(
            title="Products inside the fusion",
            axis="length before normalising, and where 95 % of rows lie"
            if lengths
            else "share of saturated cells",
            names=[one.name for one in interactions],
            groups={"": Bars(means, lows, highs)},
            # Nothing is to be seen of a length of 0 on a logarithmic scale.
            logarithmic=lengths and bool((lows > 0).all()),
        ),
        warnings=[
            _WARNINGS[one.quantity].format(name=one.name, share=row[6])
            for one, row in zip(interactions, rows, strict=True)
            if row[6] > _BORNE[one.quantity]
        ],
    )


_WARNINGS = {
    "saturated": (
        "{name}: {share:.0%} of the cells are saturated; they no longer tell rows apart. Set "
        "fusion.normalize = true, or a smaller fusion.sigma."
    ),
    "length": (
        "{name}: the product vanishes in {share:.0%} of the rows, and normalising it blows up rounding. Use "
        "fewer sources, or a fusion without products."
    ),
}


def _interaction(one: Interaction) -> tuple[str, str, float, float, float, float, float]:
    by_head = one.values.mean(axis=1, dtype=np.float64)
    mean = float(by_head.mean())
    if one.quantity == "saturated":
        return (
            one.name,
            one.quantity,
            mean,
            deviation(by_head),
            float(by_head.min()),
            float(by_head.max()),
            mean,
        )
    low, high = np.percentile(one.values, [2.5, 97.5])
    flat = float((one.values < VANISHED).mean())
    return one.name, one.quantity, mean, deviation(by_head), float(low), float(high), flat
