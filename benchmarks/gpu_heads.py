"""Fusions and stacked seeds on a GPU, on a machine that has torch and little else.

    python benchmarks/gpu_heads.py [--device cuda:0] [--rows 4096] [--dims 4096 1024 1024] [--output FILE]

Needs no installation of this project and no data: the repository's sources, torch, numpy, and the small packages
attrs, array-api-compat, cattrs, safetensors and scipy. What is missing is named, to be brought along by
``pip install --target DIR PACKAGES`` and ``PYTHONPATH=DIR``.

Measures each fusion, forward and backward, against the larger of its two limits (`device_limits`), eager and as
one CUDA graph, which leaves out the time of launching kernels; pooling; and five stacked seeds against five in
turn, over random embeddings of the size of GoEmotions. Prints JSON, and writes it to FILE.

It has been run on an H200.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
NEEDED = ("torch", "numpy", "scipy", "attrs", "array_api_compat", "cattrs", "safetensors")


def require() -> None:
    """Make the sources importable, and name what they need and is not there."""
    for folder in (HERE, HERE.parent / "src"):
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
    missing = [name.replace("_", "-") for name in NEEDED if find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        sys.exit(f"missing: {names}; run `pip install --target DIR {names}` and set PYTHONPATH=DIR")


def measure_steps(device: Any, rows: int, dims: Sequence[int], tokens: int) -> list[dict[str, Any]]:
    """Each fusion and pooling: median seconds, its limits, and how many times the larger one it takes."""
    from device_limits import Rates, times  # noqa: PLC0415
    from fusion_steps import POOLINGS, SPECS, Step, fusion_step, pooling_step, products_dtype  # noqa: PLC0415

    rates = Rates.measure(device, products_dtype(device))
    found: list[dict[str, Any]] = [
        {"what": "rates", "bandwidth": rates.bandwidth, "products": rates.products}
    ]
    steps: dict[str, Callable[[], Step]] = {
        name: partial(fusion_step, spec, device, rows, dims) for name, spec in SPECS.items()
    }
    for kind in POOLINGS:
        steps[f"{kind} pooling"] = partial(pooling_step, kind, device, rows, tokens, dims[-1])
    for name, build in steps.items():
        step = build()
        limits = step.work.limits(rates)
        seconds = {"eager": median(times(step.run, device))}
        notes = {}
        if device.type == "cuda":
            try:
                seconds["graph"] = median(times(captured(step.run), device))
            except RuntimeError as error:  # a copy from the host, say, which no graph can hold
                notes["no_graph"] = str(error).splitlines()[0]
        ratios = {f"ratio_{way}": value / limits["limit_seconds"] for way, value in seconds.items()}
        found.append({"what": name, "seconds": seconds, **limits, **ratios, **notes})
        print(json.dumps(found[-1]), flush=True)
    return found


def captured(run: Callable[[], None]) -> Callable[[], None]:
    """The same kernels as one CUDA graph."""
    import torch  # noqa: PLC0415

    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    replay: Callable[[], None] = graph.replay
    return replay


def measure_seeds(device: str, rows: int, epochs: int, seeds: int) -> list[dict[str, Any]]:
    """Stacked seeds, seeds in turn, and the plain loop in turn."""
    from seed_timing import CLASSES, measure, synthetic  # noqa: PLC0415

    from fusionapp.domain.fusion.spec import FusionSpec  # noqa: PLC0415
    from fusionapp.domain.recipe import TrainingRecipe  # noqa: PLC0415

    recipe = TrainingRecipe(seeds=seeds, epochs=epochs, device=device)
    return measure(synthetic(rows), synthetic(max(rows // 8, 64), 1), CLASSES, FusionSpec(), recipe)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--dims", type=int, nargs="+", default=[4096, 1024, 1024])
    parser.add_argument("--tokens", type=int, default=64, help="tokens of a text that is pooled")
    parser.add_argument("--train-rows", type=int, default=23_485)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    require()
    from result_file import save_result  # noqa: PLC0415

    from fusionapp.adapters.torch_shared.device import resolve_device  # noqa: PLC0415

    device = resolve_device(arguments.device)
    results = measure_steps(device, arguments.rows, arguments.dims, arguments.tokens)
    results += measure_seeds(arguments.device, arguments.train_rows, arguments.epochs, arguments.seeds)
    settings = {name: value for name, value in vars(arguments).items() if name != "output"}
    path = save_result(f"gpu_heads_{device.type}", settings, results, arguments.device, arguments.output)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
