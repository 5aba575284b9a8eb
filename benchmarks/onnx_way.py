"""A model run by onnxruntime on the CPU: exported once, float32, texts sorted by length, mean pooling in numpy."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class _States(nn.Module):
    """A transformer as a function of ids and mask alone."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self._body = body

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self._body(input_ids=ids, attention_mask=mask).last_hidden_state
        return states


class OnnxRuntime:
    """Tokenise, sort by length, pad each batch to its longest, run, pool."""

    def __init__(self, directory: Path, graph: Path, max_length: int, threads: int, batch: int = 32) -> None:
        """Export the model of `directory` to `graph`, and open it."""
        import onnxruntime  # noqa: PLC0415
        import transformers  # noqa: PLC0415

        _export(transformers, directory, graph)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(
            str(graph), options, providers=["CPUExecutionProvider"]
        )
        library: Any = transformers.AutoTokenizer
        self._tokenizer = library.from_pretrained(directory, local_files_only=True).backend_tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_length)
        modules = json.loads((directory / "modules.json").read_text(encoding="utf-8"))
        self._normalize = any(str(module["type"]).endswith("Normalize") for module in modules)
        self.batch = batch
        self._vectors: NDArray[np.float32]

    def run(self, texts: Sequence[str]) -> None:
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
        pooled = []
        for start in range(0, len(order), self.batch):
            rows = [ids[row] for row in order[start : start + self.batch]]
            lengths = np.array([len(row) for row in rows])[:, None]
            mask = np.arange(int(lengths.max()))[None, :] < lengths
            padded = np.zeros(mask.shape, dtype=np.int64)
            padded[mask] = np.concatenate(rows)
            [states] = self._session.run(None, {"ids": padded, "mask": mask.astype(np.int64)})
            pooled.append((states * mask[:, :, None]).sum(1) / lengths)
        sorted_vectors = np.concatenate(pooled).astype(np.float32)
        if self._normalize:
            sorted_vectors /= np.linalg.norm(sorted_vectors, axis=1, keepdims=True)
        self._vectors = np.empty_like(sorted_vectors)
        self._vectors[order] = sorted_vectors

    def vectors(self) -> NDArray[np.float32]:
        return self._vectors


def _export(transformers: Any, directory: Path, graph: Path) -> None:
    # SDPA exports as one pattern that onnxruntime's optimiser knows; padding hides nothing from it.
    body = transformers.AutoModel.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
    ).eval()
    ids = torch.ones(2, 8, dtype=torch.int64)
    sizes = {0: torch.export.Dim("texts"), 1: torch.export.Dim("tokens")}
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # the exporter warns of its own libraries' deprecations
        torch.onnx.export(
            _States(body),
            (ids, ids.clone()),
            graph,
            input_names=["ids", "mask"],
            output_names=["states"],
            dynamic_shapes=(sizes, sizes),
            dynamo=True,
            verbose=False,
        )
