"""How fast a device could be: its copy bandwidth and matrix product rate, and what a step must move and multiply.

A step is held against the larger of two times: the bytes that it cannot help moving, each input, weight, output
and gradient once, at the rate of a plain copy; and its matrix products at the rate of one large product. Both
rates are measured on the device itself, on random numbers: products of zeros run faster than any real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.flop_counter import FlopCounterMode

_COPIED_BYTES = {"cpu": 2**28, "cuda": 2**31}
"""Far beyond any cache."""
_PRODUCT_SIZE = {"cpu": 2048, "cuda": 8192}


@attrs.frozen
class Rates:
    """What a device reaches.

    Attributes:
        bandwidth: bytes read plus bytes written a second, in a copy.
        products: floating-point operations a second, in one large matrix product.
    """

    bandwidth: float
    products: float

    @classmethod
    def measure(cls, device: torch.device, dtype: torch.dtype) -> Rates:
        """Measure a device; products in `dtype`, the copy in float32."""
        numbers = _COPIED_BYTES[device.type] // 4
        source, target = torch.rand(numbers, device=device), torch.empty(numbers, device=device)
        copy = median(times(lambda: target.copy_(source), device))
        size = _PRODUCT_SIZE[device.type]
        left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        product = median(times(lambda: left @ right, device))
        return cls(bandwidth=8 * numbers / copy, products=2 * size**3 / product)


@attrs.frozen
class Work:
    """What a step cannot help doing.

    Attributes:
        moved: bytes of inputs, weights, outputs and their gradients, each once.
        multiplied: floating-point operations of its matrix products, forward and backward.
    """

    moved: int
    multiplied: int = 0

    def limits(self, rates: Rates) -> dict[str, float]:
        """Seconds by bandwidth, by products, and the larger of the two."""
        moving, multiplying = self.moved / rates.bandwidth, self.multiplied / rates.products
        return {
            "bandwidth_seconds": moving,
            "product_seconds": multiplying,
            "limit_seconds": max(moving, multiplying),
        }


def work_of(step: Callable[[], None], moved: Iterable[Tensor]) -> Work:
    """Run a step once and count.

    Args:
        step: forward and backward.
        moved: what is read or written; a tensor counts as often as it stands here, a gradient as its tensor.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    return Work(sum(tensor.numel() * tensor.element_size() for tensor in moved), counter.get_total_flops())


def times(run: Callable[[], Any], device: torch.device, least: int = 5, seconds: float = 0.5) -> list[float]:
    """Seconds of single runs, the device idle before and after each, two runs of warming up left out."""
    for _ in range(2):
        run()
    found: list[float] = []
    while len(found) < least or sum(found) < seconds:
        synchronize(device)
        start = perf_counter()
        run()
        synchronize(device)
        found.append(perf_counter() - start)
    return found


def synchronize(device: torch.device) -> None:
    """Wait until a device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def linear_rate(device: torch.device, dtype: torch.dtype, sizes: Iterable[int] = ()) -> float:
    """Floating-point operations a second in a large linear layer, the best of several sizes.

    Args:
        device: where.
        dtype: of inputs and weights.
        sizes: rows, inputs and outputs of the layer; default such as the device likes.
    """
    chosen = list(sizes) or ([1024, 2048, 4096] if device.type == "cpu" else [4096, 8192, 16_384])
    rates = []
    for size in chosen:
        inputs, weight = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        with torch.inference_mode():
            rates.append(2 * size**3 / median(times(partial(linear, inputs, weight), device)))
    return max(rates)
