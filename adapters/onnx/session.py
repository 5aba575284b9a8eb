"""A graph in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusionapp.adapters.model_files.exported import GRAPH, INPUTS, OUTPUT, ExportedEncoder
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import CorruptArtifactError, ResourceError, UsageError, first_line

_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation", "out of memory")


class GraphSession:
    """A loaded graph: what `OnnxEncoder` frees in `close`."""

    def __init__(
        self, directory: Path, card: ExportedEncoder, plan: ExecutionPlan, providers: Sequence[str]
    ) -> None:
        """Load the graph of a directory that was verified and inspected. No operator library is registered.

        Raises:
            UsageError: onnxruntime is not installed, or does not load the device's provider.
            CorruptArtifactError: the graph cannot be read, or is none of `fusionapp export encoder`.
            ResourceError: memory ran out.
        """
        onnxruntime = import_runtime()
        options = onnxruntime.SessionOptions()
        # Several threads run a batch each: see ShardRun. A batch is then computed alike by however many.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 3
        index = plan.device.partition(":")[2] or "0"
        # TF32 would round float32 to ten bits.
        settings = [{"device_id": index, "use_tf32": "0"} if "CUDA" in name else {} for name in providers]
        try:
            session = onnxruntime.InferenceSession(
                str(directory / GRAPH), options, providers=list(providers), provider_options=settings
            )
        except Exception as error:
            if is_out_of_memory(error):
                raise ResourceError(f"memory: {directory} does not fit; use a smaller model") from error
            reason = first_line(error)
            raise CorruptArtifactError(f"{directory / GRAPH}: {reason}; export the encoder again") from error
        names = [one.name for one in session.get_inputs()], [one.name for one in session.get_outputs()]
        if names != (list(INPUTS), [OUTPUT]):
            raise CorruptArtifactError(
                f"{directory / GRAPH}: takes and gives {names[0]} and {names[1]}; export the encoder again"
            )
        if session.get_providers()[0] != providers[0]:
            raise UsageError(
                f"device {plan.device!r}: onnxruntime does not load {providers[0]} for this graph; set "
                'device = "cpu"'
            )
        self._session = session
        self._shape = (len(card.layers), card.dim)

    def views(self, ids: Sequence[NDArray[np.int32]], skip: int = 0, budget: int | None = None) -> Tensor:
        """(batch, layers, dim) float32 of one batch; the graph itself leaves the prefix out.

        Raises:
            MemoryError: it does not fit.
            CorruptArtifactError: the graph gives something else.
        """
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        mask = np.arange(lengths.max())[None, :] < lengths[:, None]
        padded = np.zeros(mask.shape, dtype=np.int64)
        padded[mask] = np.concatenate(ids)
        try:
            (found,) = self._session.run([OUTPUT], {INPUTS[0]: padded, INPUTS[1]: mask.astype(np.int64)})
        except Exception as error:
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            reason = first_line(error)
            raise CorruptArtifactError(
                f"{GRAPH}: cannot be run ({reason}); export the encoder again"
            ) from error
        if found.shape != (len(ids), *self._shape) or found.dtype != np.float32:
            raise CorruptArtifactError(
                f"{GRAPH}: gives {found.dtype} of {found.shape}, not float32 of {(len(ids), *self._shape)}; "
                "export the encoder again"
            )
        return torch.from_numpy(found)


def import_runtime() -> Any:
    """The onnxruntime package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed; install the extra `cpu` or `gpu` of fusionapp"
        ) from error
    return onnxruntime


def is_out_of_memory(error: Exception) -> bool:
    """Whether onnxruntime says that memory ran out."""
    # onnxruntime's errors are of no class that says so.
    return isinstance(error, MemoryError) or any(said in str(error).lower() for said in _NO_MEMORY)
