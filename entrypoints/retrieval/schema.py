"""Every key of a retrieval experiment; tables that a classification shares are those of `experiment.schema`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs
from attrs.validators import and_, deep_iterable, ge, gt, le, lt, matches_re, min_len

from fusionapp.domain.retrieval.metric_names import split_metric
from fusionapp.domain.retrieval.recipe import TuningRecipe
from fusionapp.domain.settings import setting
from fusionapp.entrypoints.experiment.encoder_tables import (
    EncoderSettings,
    HuggingFaceSettings,
    LexicalSettings,
    encoder_problems,
)
from fusionapp.entrypoints.experiment.names import NAME_PATTERN
from fusionapp.entrypoints.experiment.schema import ExtractSettings, StorageSettings, storage_problems

METRIC = r"(mrr|ndcg|recall|precision)@[1-9][0-9]*|map"
CONTROLS = ("tuned", "untuned", "hybrid", "untuned hybrid", "bm25", "tfidf")
"""Names in a leaderboard that no encoder may have."""

LABELLESS = ("arxiv", "beir")
"""Sources whose documents carry no label."""


@attrs.frozen
class RetrieveTask:
    """The ``[task]`` table."""

    kind: Literal["retrieve"] = setting(
        "what is trained: an encoder that finds documents for queries", "retrieve"
    )


@attrs.frozen
class PairSettings:
    """The ``[dataset]`` table of pairs of queries and documents."""

    source: Literal["files", "huggingface", "arxiv", "beir"] = setting("where pairs come from", "files")
    train: str | tuple[str, ...] | None = setting(
        "files, arxiv: path or paths of the training pairs; arxiv: what `fusionapp fetch arxiv` wrote; absent: "
        "test is evaluated without training",
        None,
    )
    validation: str | tuple[str, ...] | None = setting(
        "files, arxiv: path or paths of the validation pairs; absent: a part of train", None
    )
    test: str | tuple[str, ...] | None = setting(
        "files, arxiv: path or paths of the test pairs; absent: a part of train", None
    )
    name: str | None = setting(
        "huggingface: a DatasetDict directory, its name under DATA_DIR, or a hub name; beir: the directory that "
        "holds corpus.jsonl",
        None,
    )
    config: str | None = setting("huggingface: the hub dataset's configuration", None)
    revision: str | None = setting("huggingface: the hub dataset's revision", None)
    query: str | tuple[str, ...] = setting(
        "files, huggingface: the query's column, or several that are joined a line each; arxiv takes the title",
        "query",
    )
    document: str | tuple[str, ...] = setting(
        "files, huggingface: the document's column or columns; arxiv takes the abstract", "document"
    )
    id: tuple[str, ...] = setting("columns that name the document; default: equal texts are one document", ())
    query_id: tuple[str, ...] = setting("columns that name the query; default: equal texts are one query", ())
    grade: str | None = setting("column that says how relevant the document is, at least 1", None)
    topic: str | None = setting("column of the document's topic; arxiv takes its primary category", None)
    topics: tuple[str, ...] = setting(
        "files: the topic of each of train's files, where no column says it", ()
    )
    label: str | None = setting("column of a label, for train.mask_same_label", None)
    date: str | None = setting("column of the document's date, ISO 8601, for split_by", None)
    negatives: str | tuple[str, ...] | None = setting(
        "column, or columns, of texts that look relevant to the query and are not", None
    )
    split_by: Literal["random", "date"] = setting(
        "how test and validation are taken from train where they are not given, document by document: at random, "
        "or the latest by date and id",
        "random",
    )
    test_fraction: float = setting(
        "part of the documents taken for test, where the dataset names none; 0 takes none",
        0.2,
        and_(ge(0.0), lt(1.0)),
    )
    validation_fraction: float = setting(
        "part of the documents taken for validation, where the dataset names none",
        0.1,
        and_(gt(0.0), le(0.5)),
    )


@attrs.frozen
class IndexSettings:
    """The ``[index]`` table."""

    kind: Literal["flat", "hnsw", "ivfpq", "usearch", "numpy"] = setting(
        "flat, hnsw and ivfpq by FAISS, usearch by itself, numpy exact without a library", "numpy"
    )


@attrs.frozen
class JudgeSettings:
    """The ``[evaluate]`` table of a retrieval experiment."""

    baselines: bool = setting(
        "rank by the controls as well: BM25, TF-IDF, the untuned encoder, hybrids, every other encoder", True
    )
    metrics: tuple[str, ...] = setting(
        "mrr@k, ndcg@k, recall@k, precision@k, map; verdicts are on mrr@10",
        ("mrr@10", "ndcg@10", "recall@1", "recall@10", "recall@100", "precision@10", "map"),
        and_(min_len(1), deep_iterable(matches_re(re.compile(METRIC), func=re.fullmatch))),
    )
    ragas: bool = setting("ID-based context precision and recall of the 10 best by ragas, too", False)
    depth: int = setting(
        "how many documents of each ranking are kept and fused; more, where a metric looks further down",
        1000,
        ge(10),
    )
    vectors: bool = setting("tabulate recall of shortened, int8 and binary vectors as well", False)
    draws: int = setting("bootstrap draws over queries", 10_000, ge(100))

    @property
    def reach(self) -> int:
        """How many documents of each ranking are kept: no metric is that of a list cut shorter."""
        return max(self.depth, *(split_metric(name)[1] or 0 for name in self.metrics))


@attrs.frozen
class RetrievalExperiment:
    """One retrieval experiment, whole."""

    name: str = setting(
        "names the run directory runs/NAME",
        "experiment",
        matches_re(re.compile(NAME_PATTERN), func=re.fullmatch),
    )
    seed: int = setting("first seed", 0, ge(0))
    task: RetrieveTask = setting("the task", RetrieveTask)
    dataset: PairSettings = setting("the pairs", PairSettings)
    encoders: Mapping[str, EncoderSettings] = setting(
        "the encoders by name; the first of adapter huggingface is tuned, the rest are controls", dict
    )
    storage: StorageSettings = setting("where embeddings are kept", StorageSettings)
    extract: ExtractSettings = setting("where encoders run", ExtractSettings)
    train: TuningRecipe = setting("how the encoder is tuned", TuningRecipe)
    index: IndexSettings = setting("what documents are searched by", IndexSettings)
    evaluate: JudgeSettings = setting("how results are judged", JudgeSettings)

    @property
    def tunable(self) -> tuple[str, HuggingFaceSettings]:
        """Name and table of the encoder that is tuned.

        Raises:
            StopIteration: there is none, which `problems` says.
        """
        return next(
            (name, one) for name, one in self.encoders.items() if isinstance(one, HuggingFaceSettings)
        )

    def problems(self) -> list[str]:
        """What does not go together across keys, one line each, starting with the key's path."""
        found = storage_problems(self.storage)
        for name, encoder in self.encoders.items():
            found += encoder_problems(name, encoder)
            found += _role_problems(name, encoder)
        if not any(isinstance(one, HuggingFaceSettings) for one in self.encoders.values()):
            found.append(
                'encoders: none can be tuned; add a table such as [encoders.minilm] with model = "minilm"'
            )
        else:
            found += _tunable_problems(*self.tunable)
        if self.train.mask_same_label and (self.dataset.label is None or self.dataset.source in LABELLESS):
            found.append(
                "train.mask_same_label: needs labels; name their column as dataset.label (files, huggingface), or "
                "set it to false"
            )
        return found + _pair_problems(self.dataset) + self.train.problems()


def _tunable_problems(name: str, encoder: HuggingFaceSettings) -> list[str]:
    found = []
    if encoder.quantization != "none":
        found.append(
            f'encoders.{name}.quantization: goes with frozen encoders; set train.finetuning.method = "qlora"'
        )
    if encoder.layers != "all" and len(encoder.layers) == 1 and encoder.layers != (-1,):
        found.append(
            f"encoders.{name}.layers: {list(encoder.layers)}, but what is tuned is the last layer's embedding; "
            "set it to [-1]"
        )
    return found


def _role_problems(name: str, encoder: EncoderSettings) -> list[str]:
    found = []
    if name in CONTROLS:
        found.append(f"encoders.{name}: is the name of a control; choose another")
    if isinstance(encoder, LexicalSettings):
        found.append(f"encoders.{name}: words are ranked by the controls bm25 and tfidf; leave it out")
    if isinstance(encoder, HuggingFaceSettings) and (encoder.layers == "all" or len(encoder.layers) > 1):
        found.append(f"encoders.{name}.layers: a search compares one vector a text; name one layer")
    return found


def _pair_problems(dataset: PairSettings) -> list[str]:
    found = []
    if dataset.source in ("files", "arxiv") and dataset.train is None and dataset.test is None:
        found.append(
            'dataset.train: missing; name the training pairs, such as train = "pairs.jsonl", or dataset.test to '
            "evaluate without training"
        )
    if dataset.source in ("huggingface", "beir") and dataset.name is None:
        found.append(f"dataset.name: missing; name the directory of the {dataset.source} data")
    if dataset.split_by == "date" and dataset.date is None and dataset.source != "arxiv":
        found.append('dataset.date: missing; split_by = "date" needs the column that holds it')
    files = 1 if isinstance(dataset.train, str) else len(dataset.train or ())
    if dataset.topics and len(dataset.topics) != files:
        found.append(
            f"dataset.topics: {len(dataset.topics)} topics for {files} files of train; name one each"
        )
    return found
