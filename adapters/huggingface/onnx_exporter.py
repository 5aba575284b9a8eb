"""Encoders as ONNX: traced by torch, checked by onnx, held to the encoder, and only then put in their place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch

from fusionapp.adapters.huggingface.decisions import Decisions, Wishes, decide
from fusionapp.adapters.huggingface.graph import EncoderGraph
from fusionapp.adapters.huggingface.loading import load_transformer, loading_errors
from fusionapp.adapters.huggingface.text_tokenizer import load_tokenizer
from fusionapp.adapters.model_files.attention import supports_sdpa
from fusionapp.adapters.model_files.checkpoint import hash_files
from fusionapp.adapters.model_files.exported import (
    GRAPH,
    INPUTS,
    OUTPUT,
    TOKENIZER,
    ExportedEncoder,
    write_card,
)
from fusionapp.adapters.model_files.files import ModelFiles
from fusionapp.adapters.model_files.source import ModelSource, find_source
from fusionapp.adapters.model_files.tokenization import load_backend
from fusionapp.adapters.torch_shared.artefacts import whole_directory
from fusionapp.adapters.torch_shared.tracing import forget_source, import_onnx, quiet_tracing
from fusionapp.application.ports.encoder_exporter import EncoderExporter, Parity
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import UsageError, first_line

_ONE_FILE = 1_900_000_000
"""Bytes of weights that one protobuf file holds; more go to a file beside it."""

_BESIDE_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json")


@attrs.frozen
class OnnxEncoderExporter(EncoderExporter):
    """Exports a transformers model in float32, with its pooling and normalisation.

    Attributes:
        model: alias, hub id or local directory.
        wishes: how it is used.
        source: fingerprint of the encoder's identity in float32.
        revision: of the hub model.
        cache_dir: the hub's cache.
    """

    model: str
    wishes: Wishes
    source: str
    revision: str | None = None
    cache_dir: str | None = None

    def export(self, path: str, int8: bool, check: Callable[[str], Parity]) -> Parity:
        """See `EncoderExporter.export`."""
        onnx = import_onnx()
        with whole_directory(path) as draft:
            card = self._write(draft, onnx, int8)
            write_card(draft, card)
            parity = check(str(draft))
            write_card(draft, attrs.evolve(card, parity=attrs.asdict(parity)))
        return parity

    def _write(self, draft: Path, onnx: Any, int8: bool) -> ExportedEncoder:
        source = find_source(self.model, packaged=self.revision is None)
        files = ModelFiles(source, self.revision, self.cache_dir, code=False)
        decisions = decide(files.directory, source.card, self.wishes)
        architecture = decisions.architecture
        if not architecture.native or architecture.latent_attention:
            raise UsageError(
                f"model: {architecture.model_type} needs code beside transformers, and is not exported; use "
                'adapter = "huggingface"'
            )
        files.weights  # noqa: B018  # fetched and complete before transformers looks for them
        tokenizer = load_tokenizer(files.directory, decisions)
        _write_tokenizer(files.directory, draft)
        with loading_errors(self.model):
            fused = not architecture.soft_capped and supports_sdpa(architecture.model_type)
            plan = ExecutionPlan(attention="sdpa" if fused else "eager")
            body = load_transformer(files.directory, plan).eval()
        skip = 0 if decisions.pool_prefix else tokenizer.prefix_length
        exact = draft / "exact" if int8 else draft
        exact.mkdir(exist_ok=True)
        size = _write_graph(EncoderGraph(body, decisions, skip).eval(), exact / GRAPH, onnx)
        if int8:
            _quantize(exact / GRAPH, draft / GRAPH, large=size > _ONE_FILE)
            shutil.rmtree(exact)
        return self._card(source, decisions, draft, int8)

    def _card(self, source: ModelSource, decisions: Decisions, draft: Path, int8: bool) -> ExportedEncoder:
        return ExportedEncoder(
            # Where it lay on this machine is nobody's business.
            model=source.model if source.directory is None else source.directory.name,
            source=self.source,
            layers=list(decisions.layers),
            dim=decisions.architecture.dim,
            pooling=decisions.pooling,
            prefix=decisions.prefix,
            pool_prefix=decisions.pool_prefix,
            max_length=decisions.max_length,
            normalize=decisions.normalize,
            lower_case=decisions.lower_case,
            int8=int8,
            files=hash_files(sorted(draft.iterdir())),
        )


def _write_tokenizer(directory: Path, draft: Path) -> None:
    backend = load_backend(directory)
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(draft / TOKENIZER))
    for name in _BESIDE_TOKENIZER:
        if (directory / name).is_file():
            shutil.copyfile(directory / name, draft / name)


def _write_graph(graph: EncoderGraph, path: Path, onnx: Any) -> int:
    """Trace with two texts of unlike length (a batch of one would be a constant); return the weights' bytes."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in graph.parameters())
    ids = torch.ones((2, 9), dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    free = {0: "batch", 1: "tokens"}
    try:
        with quiet_tracing():
            program = torch.onnx.export(
                graph,
                (ids, mask),
                dynamo=True,
                verbose=False,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=(free, free),
            )
            assert program is not None, "the dynamo exporter gives a program"
            forget_source(program)
            program.save(str(path), external_data=size > _ONE_FILE)
            onnx.checker.check_model(str(path))
    except (torch.onnx.OnnxExporterError, onnx.checker.ValidationError) as error:
        cause = error.__cause__ or error
        reason = first_line(cause)
        raise UsageError(
            f"model: torch {torch.__version__} cannot write it as ONNX ({reason[:200]}); use "
            'adapter = "huggingface"'
        ) from error
    return size


def _quantize(exact: Path, path: Path, large: bool) -> None:
    """Weights of matrix products in 8 bits; what they are multiplied with is quantised as it comes."""
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise UsageError(
            "onnxruntime is not installed; install the extra `cpu` or `gpu` of fusionapp"
        ) from error
    with quiet_tracing():
        quantize_dynamic(
            str(exact),
            str(path),
            per_channel=True,  # a scale for each output: MiniLM keeps cosine 0.96 by it, and 0.84 without
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
