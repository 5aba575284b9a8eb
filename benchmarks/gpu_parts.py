"""What `gpu_extraction` measures, part by part; each returns a record or raises."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import attrs
import numpy as np
import torch
from device_limits import synchronize
from extraction_ways import FilesOut, SentenceTransformers, WarmEncoder, smallest_cosine
from model_shapes import Shape, operations, write_model
from numpy.typing import NDArray

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder

ALONE = 64
"""Texts that are embedded one at a time."""


@attrs.define
class Clock:
    """A `Progress`, and its one task, that notes when how many tokens were done.

    What lies between the first and the last note leaves out the start of the tokenizer processes.
    """

    notes: list[tuple[float, int]] = attrs.field(factory=list)
    tokens: float = 0.0

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Clock]:
        self.notes, self.tokens = [], 0.0
        yield self

    def advance(self, amount: int, **rates: float) -> None:
        self.tokens += rates.get("tokens", 0.0)
        self.notes.append((perf_counter(), int(self.tokens)))

    @property
    def steady_rate(self) -> float | None:
        """Tokens a second once the first batch was done; None where it was the only one."""
        (start, before), (end, after) = self.notes[0], self.notes[-1]
        return (after - before) / (end - start) if after > before else None


@attrs.frozen(eq=False)
class Bench:
    """A model on disk and what it is measured with.

    Attributes:
        name: the model's.
        directory: where it stands.
        texts: to embed.
        device: "cuda:0", or "cpu" to try the parts out.
        rounds: of timing.
        peak: floating-point operations a second in large bfloat16 products.
        scratch: a directory to write to.
    """

    name: str
    directory: Path
    texts: Sequence[str]
    device: str
    rounds: int
    peak: float
    scratch: Path

    def encoder(self, **settings: Any) -> WarmEncoder:
        return WarmEncoder(str(self.directory), device=self.device, **{"dtype": "bfloat16", **settings})

    def lengths(self, encoder: WarmEncoder, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens of each text, cut."""
        return np.minimum(encoder.count_tokens(texts), int(encoder.identity["max_length"]))


def files_out(bench: Bench) -> dict[str, Any]:
    """This project, from texts to files."""
    encoder, clock = bench.encoder(), Clock()
    plan = encoder.plan(len(bench.texts))
    way = FilesOut(encoder, bench.scratch / "out", spooled=False, progress=clock)
    try:
        encoder.encode(bench.texts[:256], plan)
        way.run(bench.texts[:256])  # identity, kernels and tokenizer files are warm
        way.vectors()
        reset_peak(bench.device)
        seconds, steady = [], []
        for _ in range(bench.rounds):
            start = perf_counter()
            way.run(bench.texts)
            seconds.append(perf_counter() - start)
            steady.append(clock.steady_rate)
            way.vectors()
        lengths = bench.lengths(encoder, bench.texts)
    finally:
        encoder.unload()
    work, effort = operations(bench.directory, lengths), way.found.effort
    rates = speed(len(bench.texts), int(lengths.sum()), seconds)
    running = [rate for rate in steady if rate]
    steady_tokens = median(running) if running else None
    return {
        **rates,
        "share_of_peak": work / rates["seconds"] / bench.peak,
        "steady_tokens_per_second": steady_tokens,
        "steady_share_of_peak": steady_tokens and steady_tokens * work / int(lengths.sum()) / bench.peak,
        "padding": effort.padded_tokens / effort.tokens,
        "peak_device_bytes": effort.peak_device_bytes,
        "bottleneck": effort.bottleneck,
        "tokenizer_seconds": effort.tokenizer_seconds,
        "disk_seconds": effort.disk_seconds,
        "plan": attrs.asdict(plan),
    }


def sentence_transformers(
    bench: Bench, fraction: float, dtype: str | None = None, batch: int | None = None
) -> dict[str, Any]:
    """The rival over the first texts, whose lengths are drawn alike; speeds, not seconds, are to be compared."""
    if find_spec("sentence_transformers") is None:
        return {"skipped": "sentence-transformers is not installed here"}
    texts = bench.texts[: max(1, round(len(bench.texts) * fraction))]
    way = SentenceTransformers(bench.directory, bench.device, dtype, batch)
    way.run(texts[:256])
    reset_peak(bench.device)
    seconds = []
    for _ in range(bench.rounds):
        start = perf_counter()
        way.run(texts)
        seconds.append(perf_counter() - start)
    some = texts[:256]
    way.run(some)
    encoder = bench.encoder()
    try:
        lengths = bench.lengths(encoder, texts)
        own = np.asarray(encoder.encode(some, encoder.plan(len(some))).embeddings)[:, 0]
    finally:
        encoder.unload()
    rates = speed(len(texts), int(lengths.sum()), seconds)
    return {
        **rates,
        "share_of_peak": operations(bench.directory, lengths) / rates["seconds"] / bench.peak,
        "weights": str(way.dtype),
        "batch": batch,
        "smallest_cosine": smallest_cosine(own, way.vectors()),
        "peak_device_bytes": torch.cuda.max_memory_allocated() if bench.device != "cpu" else 0,
    }


def attention_paths(bench: Bench) -> dict[str, Any]:
    """Packed attention against padded SDPA over the first eighth of the texts, tokenising left out."""
    texts = bench.texts[: max(1, len(bench.texts) // 8)]
    found: dict[str, Any] = {"texts": len(texts)}
    for path in ("packed", "sdpa"):
        encoder = bench.encoder()
        plan = attrs.evolve(encoder.plan(len(texts)), attention=path)
        seconds = []
        try:
            encoder.encode(texts[:256], plan)
            for _ in range(bench.rounds):
                synchronize(torch.device(bench.device))
                start = perf_counter()
                encoding = encoder.encode(texts, plan)
                seconds.append(perf_counter() - start - encoding.tokenizer_seconds)
        finally:
            encoder.unload()
        found[path] = {
            "seconds": median(seconds),
            "tokens_per_second": encoding.tokens / median(seconds),
            "padding": encoding.padded_tokens / encoding.tokens,
        }
    found["ratio"] = found["sdpa"]["seconds"] / found["packed"]["seconds"]
    return found


def exactness(bench: Bench) -> dict[str, Any]:
    """Texts packed together against one at a time: the largest ‖a − b‖ / ‖b‖, b also by float32 and SDPA."""
    texts = list(bench.texts[:ALONE])
    packed = _embed(bench, "bfloat16", "packed", [texts])
    alone = _embed(bench, "bfloat16", "packed", [[text] for text in texts])
    reference = _embed(bench, "float32", "sdpa", [[text] for text in texts])
    return {
        "texts": len(texts),
        "packed_against_alone": largest_error(packed, alone),
        "packed_against_float32": largest_error(packed, reference),
        "alone_against_float32": largest_error(alone, reference),
    }


def _embed(bench: Bench, dtype: str, attention: str, parts: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    encoder = bench.encoder(dtype=dtype)
    plan = attrs.evolve(encoder.plan(1), attention=attention)
    try:
        return np.concatenate([np.asarray(encoder.encode(part, plan).embeddings)[:, 0] for part in parts])
    finally:
        encoder.unload()


def out_of_memory(bench: Bench, spare: int = 3 * 2**30) -> dict[str, Any]:
    """A budget that holds all texts at once, in little memory: halved until it fits, vectors as before."""
    if bench.device == "cpu":
        return {"skipped": "a CPU's memory cannot be cut for one process"}
    device = torch.device(bench.device)
    texts = bench.texts[: 8 * 2048]
    encoder = bench.encoder(batch_tokens=1 << 30)
    plan = encoder.plan(len(texts))
    try:
        usual = np.asarray(encoder.encode(texts, attrs.evolve(plan, batch_tokens=65_536)).embeddings)
        torch.cuda.empty_cache()
        allowed = torch.cuda.memory_allocated(device) + spare
        torch.cuda.set_per_process_memory_fraction(
            allowed / torch.cuda.get_device_properties(device).total_memory, device
        )
        start = perf_counter()
        encoding = encoder.encode(texts, plan)
        seconds = perf_counter() - start
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        encoder.unload()
    if not encoding.notes:
        raise RuntimeError("memory did not run out")
    return {
        "texts": len(texts),
        "allowed_bytes": allowed,
        "seconds": seconds,
        "notes": list(encoding.notes),
        "failed": int(encoding.failed.sum()),
        "largest_relative_error": largest_error(np.asarray(encoding.embeddings)[:, 0], usual[:, 0]),
    }


def float32_retry(shape: Shape, scratch: Path, texts: Sequence[str], device: str) -> dict[str, Any]:
    """A model whose states overflow in float16: computed again in float32, to the vectors of float32."""
    directory = write_model(shape, scratch / "overflowing", texts=texts)
    _widen(directory)
    few = list(texts[:ALONE])
    narrow = HuggingFaceEncoder(str(directory), dtype="float16", device=device)
    wide = HuggingFaceEncoder(str(directory), dtype="float32", device=device)
    encoding = narrow.encode(few, narrow.plan(len(few)))
    reference = wide.encode(few, wide.plan(len(few)))
    narrow.close()
    wide.close()
    if not encoding.notes:
        raise RuntimeError("nothing overflowed")
    return {
        "texts": len(few),
        "notes": list(encoding.notes),
        "failed": int(encoding.failed.sum()),
        # Weights were rounded to float16 when they were loaded, and stay so in the second pass.
        "smallest_cosine": smallest_cosine(
            np.asarray(encoding.embeddings)[:, 0], np.asarray(reference.embeddings)[:, 0]
        ),
    }


def _widen(directory: Path) -> None:
    """Make the first layer's inner states overflow float16, whose largest number is 65,504; no weight does."""
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    path = directory / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("layer.0.intermediate.dense.weight"))
    weights[name] = 8000 * torch.randn_like(weights[name]).clamp(-4, 4)
    save_file(weights, path, metadata={"format": "pt"})


def largest_error(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Of all rows, ‖found − reference‖ / ‖reference‖."""
    distance = np.linalg.norm(found - reference, axis=-1)
    return float((distance / np.linalg.norm(reference, axis=-1)).max())


def speed(texts: int, tokens: int, seconds: Sequence[float]) -> dict[str, Any]:
    """Median seconds and what they make."""
    middle = median(seconds)
    return {
        "texts": texts,
        "tokens": tokens,
        "seconds": middle,
        "rounds": list(seconds),
        "texts_per_second": texts / middle,
        "tokens_per_second": tokens / middle,
    }


def reset_peak(device: str) -> None:
    """Count the most memory from here on."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(torch.device(device))


def written(write: Callable[[], Path]) -> dict[str, Any]:
    """The record of something written."""
    path = write()
    return {"bytes": sum(file.stat().st_size for file in path.glob("*.safetensors"))}


def guarded(name: str, part: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """A part's record; where it failed, with the error in the place of figures, so that the others go on."""
    start = perf_counter()
    try:
        found = dict(part())
    except Exception as error:  # noqa: BLE001  # whatever it is, it is reported
        found = {"error": f"{type(error).__name__}: {error}"[:2000]}
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return {"what": name, "part_seconds": perf_counter() - start, **found}
