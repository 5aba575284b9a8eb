"""What each method of fine-tuning trains, what memory it takes and how fast it is, on one encoder.

    python benchmarks/finetuning_methods.py [--model NAME | --shape bert-base] [--methods full lora] [--pairs 16]
        [--tokens 128] [--steps 5] [--rounds 2] [--device cpu] [--dtype float32] [--checkpointing]

A step is what the trainer does to a batch: queries and documents forward, InfoNCE over the batch, backward, AdamW.
Each method runs in a process of its own, so that the peak of its memory is its own, and the methods take turns
`--rounds` times: the fastest round counts. A shape has random weights (speed does not depend on what a weight is).
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import attrs
import torch
from corpora import docstring_texts
from model_shapes import SHAPES, write_model
from result_file import save_result
from torch.nn.functional import cross_entropy, normalize

from fusionapp.adapters.huggingface.tuning.opening import open_trainable
from fusionapp.adapters.huggingface.tuning.preflight import check_encoder
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.torch_shared.device import peak_memory, resolve_device
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import FineTuning

METHODS: Mapping[str, FineTuning] = {
    "full": FineTuning(method="full"),
    "last_layers": FineTuning(method="last_layers"),
    "bitfit": FineTuning(method="bitfit"),
    "lora": FineTuning(method="lora"),
    "rslora": FineTuning(method="lora", rslora=True),
    "dora": FineTuning(method="lora", dora=True),
    "qlora": FineTuning(method="qlora"),
}

_QUERY_SHARE = 4
"""A query has this part of a document's tokens."""


@attrs.frozen
class Job:
    """What is measured.

    Attributes:
        model: alias, hub id or directory.
        pairs: in a step.
        tokens: of a document, in the mean.
        steps: timed ones, after one that is not.
        device: where.
        dtype: of the autocast.
        checkpointing: recompute activations.
    """

    model: str
    pairs: int = 16
    tokens: int = 128
    steps: int = 5
    device: str = "auto"
    dtype: str = "float32"
    checkpointing: bool = False


def measure(job: Job, name: str) -> dict[str, Any]:
    """Train a few steps by one method, in this process.

    Raises:
        UsageError: the method does not fit the model.
    """
    torch.manual_seed(0)
    encoder = open_trainable(
        EncoderSettings(job.model),
        METHODS[name],
        dtype=job.dtype,  # type: ignore[arg-type]  # argparse has checked it
        device=job.device,
        activation_checkpointing=job.checkpointing,
    )
    found = check_encoder(encoder, job.pairs)
    optimizer = torch.optim.AdamW(list(encoder.trained()), lr=found.learning_rate)
    seconds = [_step(encoder, optimizer, job, step) for step in range(job.steps + 1)][1:]
    return {
        "method": name,
        "trainable": found.trainable,
        "parameters": found.parameters,
        "share": found.trainable / found.parameters,
        "dtypes": dict(found.dtypes),
        "step_seconds": median(seconds),
        "pairs_per_second": job.pairs / median(seconds),
        "peak_memory_bytes": _peak(encoder.device),
    }


def _step(encoder: TrainableEncoder, optimizer: torch.optim.Optimizer, job: Job, seed: int) -> float:
    """Seconds of one step, tokenisation left out."""
    limit = encoder.decisions.max_length
    documents = docstring_texts(job.pairs, min(job.tokens, limit), seed)
    queries = docstring_texts(job.pairs, max(4, job.tokens // _QUERY_SHARE), seed + 1000)
    ids = encoder.tokenize(queries, "query").ids, encoder.tokenize(documents, "document").ids
    start = perf_counter()
    optimizer.zero_grad()
    with torch.autocast(encoder.device.type, torch.bfloat16, enabled=job.dtype == "bfloat16"):
        one, two = encoder(ids[0], "query"), encoder(ids[1], "document")
    scores = normalize(one) @ normalize(two).T / 0.05
    torch.autograd.backward(cross_entropy(scores, torch.arange(job.pairs, device=scores.device)))
    optimizer.step()
    if encoder.device.type == "cuda":
        torch.cuda.synchronize(encoder.device)
    return perf_counter() - start


def _peak(device: torch.device) -> int:
    """Most bytes taken: on a GPU by torch, else by this process.

    `getrusage` would count what the parent had in memory when it started this process; VmHWM does not.
    """
    if device.type == "cuda":
        return peak_memory(str(device))
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _measure_apart(job: Job, name: str, threads: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measure_or_refuse, (job, name, threads))


def _measure_or_refuse(job: Job, name: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    try:
        return measure(job, name)
    except UsageError as error:
        return {"method": name, "refused": str(error)}


def compare(job: Job, methods: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    """Each method in turn, `rounds` times; its fastest round."""
    threads = torch.get_num_threads()
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):
        for name in methods:
            found = _measure_apart(job, name, threads)
            if name not in best or found.get("step_seconds", 0) < best[name].get("step_seconds", 0):
                best[name] = found
    return list(best.values())


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, a row for each method."""
    lines = ["| method | trained | share | peak memory | pairs/s |", "|---|---|---|---|---|"]
    for row in results:
        if "refused" in row:
            lines.append(f"| {row['method']} | {row['refused']} | | | |")
            continue
        memory = row["peak_memory_bytes"] / 2**20
        lines.append(
            f"| {row['method']} | {row['trainable']:,} | {row['share']:.2%} | {memory:,.0f} MiB | "
            f"{row['pairs_per_second']:.1f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", default="minilm", help="alias, hub id or directory")
    which.add_argument("--shape", choices=SHAPES, help="a well-known shape with random weights")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(arguments)
    with TemporaryDirectory(prefix="finetuning-") as folder:
        model = given.model
        if given.shape:
            model = str(
                write_model(SHAPES[given.shape], Path(folder) / given.shape, None, docstring_texts(2000, 128))
            )
        job = Job(
            model, given.pairs, given.tokens, given.steps, given.device, given.dtype, given.checkpointing
        )
        results = compare(job, given.methods, given.rounds)
    print(table(results))
    label = given.shape or Path(given.model).name
    settings = {**attrs.asdict(job), "model": label, "rounds": given.rounds}
    name = f"finetuning_methods_{label}_{resolve_device(given.device).type}"
    print(save_result(name, settings, results, given.device, given.output))


if __name__ == "__main__":
    main()
