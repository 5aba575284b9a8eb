"""From texts to files on a GPU, beside sentence-transformers, on a machine that has torch and little else.

    python benchmarks/gpu_extraction.py [--quick] [--device cuda:0] [--models bert-large minilm llama-7b]
        [--parts files_out tuned] [--rows 32768] [--output FILE]

Needs no installation of this project, no data and no network: the repository's sources, torch >= 2.11,
transformers >= 5.17 with tokenizers and safetensors, numpy, and the small packages attrs, array-api-compat,
cattrs, filelock and scipy (what is missing is named, to be brought along by ``pip install --target DIR PACKAGES``
and ``PYTHONPATH=DIR``). sentence-transformers is compared where it is installed.

Models have random weights and a tokenizer trained on the texts, runs of about 150 tokens from the standard
library's docstrings: BERT-large and MiniLM shapes in float32, a 7B Llama shape in bfloat16, as such models are
published. MiniLM gets four times as many rows as are asked for, Llama an eighth. Of each model:

- `files_out`: from texts to durable files (without the spool, which needs pyarrow);
- `default` and `tuned` (bfloat16, batches of 256): sentence-transformers on the first sixteenth and quarter of the
  texts, whose speeds are to be compared;
- `attention_paths`: packed attention against padded SDPA;
- `exactness`: packed texts against one at a time;

and once, `out_of_memory`, a budget that is halved, and `float32_retry`, rows that overflow float16.
`share_of_peak` is of the rate of large bfloat16 linear layers; "steady" leaves the start of the tokenizer
processes out. Weights are loaded before anything is timed. Results are written after every part, and a part that
fails leaves its error. --quick: an eighth of the rows, one round, no `default`, 8 of Llama's 32 layers. --tiny,
for tests: models of next to no size, also with --device cpu.

BERT-large and MiniLM have been run on an H200, Llama only up to the writing of its weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

HERE = Path(__file__).resolve().parent
NEEDED = (
    *("torch", "transformers", "tokenizers", "safetensors", "numpy", "scipy"),
    *("attrs", "array_api_compat", "cattrs", "filelock"),
)
TOKENS = 150
RIVALS = {"default": (None, None), "tuned": ("bfloat16", 256)}
FRACTIONS = {"default": 1 / 16, "tuned": 1 / 4}
ROWS = {"minilm": 4.0, "llama-7b": 1 / 8}
"""Rows of each model, in shares of what is asked for."""
PARTS = ("files_out", *RIVALS, "attention_paths", "exactness", "out_of_memory", "float32_retry")


def require() -> None:
    """Make the sources importable, here and in the tokenizer processes, and name what is missing."""
    for folder in (HERE, HERE.parent / "src"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    missing = [name.replace("_", "-") for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        sys.exit(f"missing: {names}; run `pip install --target DIR {names}` and set PYTHONPATH=DIR")


def sizes(name: str, quick: bool, tiny: bool) -> Any:
    """The shape that is measured under a model's name."""
    import attrs  # noqa: PLC0415
    from model_shapes import SHAPES, Shape  # noqa: PLC0415

    shape = SHAPES[name]
    if tiny:
        return Shape(shape.family, 32, 2, 4, 64, 400, shape.dtype)
    return attrs.evolve(shape, layers=8) if quick and name == "llama-7b" else shape


def parts_of(bench: Any, wanted: Collection[str]) -> Iterator[tuple[str, Callable[[], Mapping[str, Any]]]]:
    """What is measured of one model."""
    import gpu_parts  # noqa: PLC0415

    parts: dict[str, Callable[[], Mapping[str, Any]]] = {"files_out": partial(gpu_parts.files_out, bench)}
    for rival, (dtype, batch) in RIVALS.items():
        parts[rival] = partial(gpu_parts.sentence_transformers, bench, FRACTIONS[rival], dtype, batch)
    parts["attention_paths"] = partial(gpu_parts.attention_paths, bench)
    parts["exactness"] = partial(gpu_parts.exactness, bench)
    if bench.name == "bert-large":
        parts["out_of_memory"] = partial(gpu_parts.out_of_memory, bench)
    return ((name, part) for name, part in parts.items() if name in wanted)


def measure(arguments: argparse.Namespace, scratch: Path) -> Iterator[dict[str, Any]]:
    """Every record, as it comes."""
    import gpu_parts  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from corpora import docstring_texts  # noqa: PLC0415
    from device_limits import linear_rate  # noqa: PLC0415
    from model_shapes import write_model  # noqa: PLC0415

    device, tiny = torch.device(arguments.device), arguments.tiny
    peak, wide = (
        linear_rate(device, dtype, [64] if tiny else []) for dtype in (torch.bfloat16, torch.float32)
    )
    yield {"what": "peak", "bfloat16_products": peak, "float32_products": wide}
    counts = {name: max(1, round(arguments.rows * ROWS.get(name, 1.0))) for name in arguments.models}
    texts = docstring_texts(max(counts.values()), TOKENS)
    some = texts[:4096]
    for name, rows in counts.items():
        directory, shape = scratch / name, sizes(name, arguments.quick, tiny)
        write = partial(write_model, shape, directory, None, some, arguments.device)
        made = gpu_parts.guarded("write_model", partial(gpu_parts.written, write))
        yield {"model": name, **made}
        bench = gpu_parts.Bench(
            name, directory, texts[:rows], arguments.device, arguments.rounds, peak, scratch
        )
        for part, run in parts_of(bench, arguments.parts) if "error" not in made else ():
            yield {"model": name, **gpu_parts.guarded(part, run)}
        shutil.rmtree(directory, ignore_errors=True)
    if "float32_retry" in arguments.parts:
        shape = sizes("minilm", arguments.quick, tiny)
        retry = partial(gpu_parts.float32_retry, shape, scratch, some, arguments.device)
        yield gpu_parts.guarded("float32_retry", retry)


def ratios(results: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """How many times as many texts a second `files_out` embeds as each rival."""
    by_part = {(found.get("model"), found["what"]): found.get("texts_per_second") for found in results}
    for (model, part), rate in by_part.items():
        own = by_part.get((model, "files_out"))
        if part in RIVALS and rate and own:
            yield {"what": "ratio", "model": model, "against": part, "ratio": own / rate}


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ["bert-large", "minilm", "llama-7b"]
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rows", type=int, default=32_768)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args(given)
    if arguments.quick:
        arguments.rows, arguments.rounds = arguments.rows // 8, 1
        arguments.parts = [part for part in arguments.parts if part != "default"]
    require()
    from result_file import save_result  # noqa: PLC0415

    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    name = f"gpu_extraction_{'cuda' if arguments.device.startswith('cuda') else 'cpu'}"
    results: list[dict[str, Any]] = []
    with TemporaryDirectory(prefix="gpu-extraction-") as scratch:
        for found in measure(arguments, Path(scratch)):
            results.append(found)
            print(json.dumps(found), flush=True)
            save_result(name, settings, [*results, *ratios(results)], arguments.device, arguments.output)
    print(json.dumps(list(ratios(results))))


if __name__ == "__main__":
    main()
