"""Choosing an onnxruntime execution provider, and refusing the CPU in place of a GPU that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fusionapp.domain.errors import UsageError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"

Load = Callable[[Sequence[str]], Sequence[str]]


def choose_providers(device: str, load: Load | None = None) -> list[str]:
    """The providers of a device, after a session proved that the first one loads.

    onnxruntime lists CUDA as available whenever its GPU wheel is installed, and falls back to the CPU in
    silence when the CUDA libraries are missing; only a session's own providers tell.

    Args:
        device: "cpu", "cuda" or "cuda:0".
        load: opens a session with these providers and returns the ones it really has.

    Raises:
        UsageError: CUDA was asked for and does not load, or onnxruntime is not installed.
    """
    if device == "cpu":
        return [CPU]
    loaded = (load or _open_session)([CUDA, CPU])
    if CUDA not in loaded:
        raise UsageError(
            f"device {device!r}: onnxruntime does not load {CUDA} (it has {', '.join(loaded)}); install the extra "
            'gpu on a machine with CUDA 13 libraries, or set device = "cpu"'
        )
    return [CUDA, CPU]


def _open_session(providers: Sequence[str]) -> Sequence[str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed; install the extra `cpu` or `gpu` of fusionapp"
        ) from error
    available = [provider for provider in providers if provider in onnxruntime.get_available_providers()]
    session = onnxruntime.InferenceSession(_identity_model(), providers=available)
    return list(session.get_providers())


def _identity_model() -> bytes:
    """The smallest ONNX graph, y = x, as protobuf bytes (IR 8, opset 13): no onnx package is needed."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def varint(number: int, value: int) -> bytes:
        return bytes([number << 3, value])

    shape = field(2, field(1, varint(1, 1)))
    tensor = field(1, varint(1, 1) + shape)
    node = field(1, b"x") + field(2, b"y") + field(4, b"Identity")
    graph = field(1, node) + field(2, b"g") + field(11, field(1, b"x") + field(2, tensor))
    graph += field(12, field(1, b"y") + field(2, tensor))
    opset = varint(2, 13)
    return varint(1, 8) + field(7, graph) + field(8, opset)
