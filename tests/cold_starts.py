"""A small routing over fakes, trained, which new models can enter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from fakes.answers import MemoryAnswerSource
from fakes.heads import CountingProgress
from fakes.house import TopicEncoder
from fakes.routers import NearestPromptRouters, NearestPromptTrainer
from fakes.stores import MemoryEmbeddingStore, MemoryRunStore, MemorySpool
from fakes.tracker import RecordingTracker

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.application.ports.router import Prompts, Router, Routers
from fusionapp.application.services.add_model import AddModel, ModelAdded
from fusionapp.application.services.embed_prompts import EmbedPrompts
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.application.services.extend_router import ExtendRouter
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.extract_parts import ExtractParts, PartEncoders
from fusionapp.application.services.gather_embeddings import GatherEmbeddings
from fusionapp.application.services.load_answers import LoadAnswers
from fusionapp.application.services.measure_cold_start import MeasureColdStart
from fusionapp.application.services.read_answers import ReadAnswers
from fusionapp.application.services.read_probes import PROBES
from fusionapp.application.services.train_router import TrainRouter
from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.prices import Prices
from fusionapp.domain.routing.recipe import RouterRecipe
from fusionapp.domain.routing.rows import AnswerRow, ScoreRow

MODELS = ("poet", "solver", "weak")
QUALITY = {"verse": (0.9, 0.1, 0.2), "sums": (0.1, 0.9, 0.2)}
PRICES = Prices.of(
    {model: {"input_price_usd_per_mtok": 1.0, "output_price_usd_per_mtok": 2.0} for model in MODELS}
)


def prompt(row: int, of: str) -> str:
    """Prompts of even rows are verse, of odd ones sums; the encoder reads the first word alone."""
    return f"{('verse', 'sums')[row % 2]} {row} of {of}"


def rows_of(split: str, count: int) -> list[AnswerRow]:
    """What the models made of a split's prompts."""
    rng = np.random.default_rng(len(split))
    rows: list[AnswerRow] = []
    for row in range(count):
        text = prompt(row, split)
        quality = np.clip(np.array(QUALITY[text.split()[0]]) + rng.normal(size=3) * 0.05, 0, 1)
        rows.append(ScoreRow(text, text, None, dict(zip(MODELS, quality.tolist(), strict=True))))
    return rows


def bard_rows(count: int = 20, of: str = "probes", name: str = "bard", **more: Any) -> list[AnswerRow]:
    """Answers of a model that is good at verse and poor at sums, which nobody was told of."""
    return [
        ScoreRow(text, text, None, {name: 0.95 if text.startswith("verse") else 0.25}, **more)
        for text in (prompt(row, of) for row in range(count))
    ]


@attrs.define
class ColdBench:
    """The run, its fakes, and the use cases over them."""

    scratch: Path
    prices: Prices | None = None
    seeds: Sequence[int] = (0, 1)
    counts: Mapping[str, int] = attrs.field(factory=lambda: {"train": 40, "validation": 24, "test": 8})
    routers: Routers = attrs.field(factory=NearestPromptRouters)
    encoder: TopicEncoder = attrs.field(factory=lambda: TopicEncoder(layers=1))
    store: MemoryEmbeddingStore = attrs.field(factory=MemoryEmbeddingStore)
    spool: MemorySpool = attrs.field(factory=MemorySpool)
    runs: MemoryRunStore = attrs.field(init=False)
    inventory: Mapping[str, Json] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.runs = MemoryRunStore(self.scratch)
        splits = {split: rows_of(split, count) for split, count in self.counts.items()}
        ReadAnswers(MemoryAnswerSource(splits), self.spool, self.runs)(prices=self.prices, answer_tokens=50)
        self.inventory = self.extract()
        self.train()

    @property
    def gather(self) -> GatherEmbeddings:
        return GatherEmbeddings(self.store, self.spool)

    @property
    def load(self) -> LoadAnswers:
        return LoadAnswers(self.spool, self.runs)

    @property
    def extend(self) -> ExtendRouter:
        return ExtendRouter(self.runs)

    @property
    def carried(self) -> dict[str, Any]:
        texts = self.inventory["splits"]["validation"]["texts_sha256"]
        return {
            "encoders": {"topic": {"identity": self.inventory["encoders"]["topic"]["identity"]}},
            "data": {"validation": [texts, self.runs.hash_file("answers/validation.parquet")]},
        }

    def extract(self) -> Mapping[str, Json]:
        parts = {split: self.spool.read(split) for split in self.counts}
        step = ExtractParts(ExtractEmbeddings(self.store, LocalExecutor(), CountingProgress()), self.runs)
        found = step(
            encoders={"topic": PartEncoders.alike(self.encoder)},
            parts=parts,
            origins={split: f"memory ({split})" for split in parts},
            storage={"adapter": "memory", "root": "."},
            shard_rows=16,
            dataset={split: one.texts_sha256 for split, one in parts.items()},
            kept=["topic"],
            versions={},
        )
        self.encoder.encoded.clear()
        return found.inventory

    def train(self, overwrite: bool = False) -> None:
        step = TrainRouter(
            NearestPromptTrainer(), self.runs, lambda _: RecordingTracker(), CountingProgress()
        )
        train, validation = (
            self.load(self.gather(self.inventory, split)).answered for split in ("train", "validation")
        )
        step(RouterRecipe(), self.seeds, train, validation, self.carried, overwrite=overwrite)

    def add(self, rows: Sequence[AnswerRow] | None = None, name: str = "bard", **how: Any) -> ModelAdded:
        step = AddModel(
            self.runs,
            self.routers,
            self.extend,
            EmbedPrompts(self.gather, self.spool),
            MeasureColdStart(self.gather, self.load),
            self.load,
        )
        source = MemoryAnswerSource({PROBES: bard_rows() if rows is None else rows})
        return step(name, source, self.inventory, lambda: {"topic": self.encoder}, **how)

    def open(self, member: str = "ensemble") -> Router:
        seeds = self.seeds if member == "ensemble" else [int(member.removeprefix("seed-"))]
        trained = self.routers.open([self.runs.path(f"models/seed-{seed}") for seed in seeds])
        return self.extend(trained, member, self.load.costs())[0]

    def prompts(self, *texts: str) -> Prompts:
        return Prompts(texts, encode_texts(texts, 0, {"topic": self.encoder}))
