"""Where answers are read to and loaded from, and a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from fakes.answers import MemoryAnswerSource
from fakes.stores import MemoryRunStore, MemorySpool

from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.gather_embeddings import SplitEmbeddings
from fusionapp.application.services.load_answers import LoadAnswers, LoadedAnswers
from fusionapp.application.services.read_answers import AnswersRead, ReadAnswers
from fusionapp.domain.routing.answers import FIRST, Battles
from fusionapp.domain.routing.rows import AnswerRow, BattleRow, ScoreRow


@attrs.frozen
class Bench:
    """Where answers are read to and loaded from."""

    spool: Spool
    runs: RunStore

    def read(self, splits: dict[str, list[AnswerRow]], **how: Any) -> AnswersRead:
        return ReadAnswers(MemoryAnswerSource(splits), self.spool, self.runs)(**how)

    def prompts(self, split: str) -> list[str]:
        return list(self.spool.read(split).stream())

    @property
    def answers(self) -> LoadAnswers:
        return LoadAnswers(self.spool, self.runs)

    def embedded(self, split: str, without: Sequence[int] = ()) -> SplitEmbeddings:
        """Each prompt's row as its embedding; some were quarantined."""
        spooled = self.spool.read(split)
        rows = np.array([row for row in range(spooled.rows) if row not in without], dtype=np.int64)
        labels, ids = spooled.labels(), spooled.ids()
        return SplitEmbeddings(
            split,
            f"memory ({split})",
            rows,
            [labels[row] for row in rows],
            [ids[row] for row in rows],
            {"encoder": rows.astype(np.float32).reshape(-1, 1, 1)},
            len(without),
        )

    def load(
        self, split: str, without: Sequence[int] = (), models: Sequence[str] | None = None
    ) -> LoadedAnswers:
        return self.answers(self.embedded(split, without), models)


def in_memory(root: Path) -> Bench:
    return Bench(MemorySpool(), MemoryRunStore())


def on_disk(root: Path) -> Bench:
    return Bench(ArrowSpool(root / "run/spool"), RunDirectory(root / "run"))


def scored(prompt: str, **more: Any) -> ScoreRow:
    scores = {model: score for model, score in more.items() if model in ("a", "b", "c")}
    rest = {key: value for key, value in more.items() if key not in scores}
    return ScoreRow(prompt, f"id of {prompt}", None, scores, **rest)


def battle(prompt: str, first: str = "a", second: str = "b", outcome: int = FIRST) -> BattleRow:
    return BattleRow(prompt, f"id of {prompt}", "t", first, second, outcome)


def outcomes(battles: Battles) -> list[tuple[int, str, str, int]]:
    return [
        (int(prompt), battles.models[first], battles.models[second], int(outcome))
        for prompt, first, second, outcome in zip(
            battles.prompts, battles.first, battles.second, battles.outcome, strict=True
        )
    ]


TRAIN: list[AnswerRow] = [
    scored("p", b=0.5, a=1.0, costs={"a": 0.5}, latencies={"b": 2.0}, tokens={"a": 10.0}),
    scored("q", b=1.0),
    scored("p", b=0.0, c=0.25, costs={"b": 4.0}),
]
OTHERS: dict[str, list[AnswerRow]] = {
    "validation": [scored("v", a=1.0, b=0.0)],
    "test": [scored("t", a=0.0, b=1.0)],
}
