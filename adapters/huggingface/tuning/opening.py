"""From a model's name to an encoder that can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import attrs
import torch
from torch import nn

from fusionapp.adapters.huggingface.decisions import Decisions, Wishes, decide
from fusionapp.adapters.huggingface.loading import load_transformer, loading_errors
from fusionapp.adapters.huggingface.packed_attention import PACKED
from fusionapp.adapters.huggingface.rules import choose_side_prefix
from fusionapp.adapters.huggingface.sentence_config import Side, read_prompts
from fusionapp.adapters.huggingface.text_tokenizer import load_tokenizer
from fusionapp.adapters.huggingface.tuning.direction import check_sees_ahead, refuse_direction
from fusionapp.adapters.huggingface.tuning.methods import apply_method
from fusionapp.adapters.huggingface.tuning.settings import EncoderSettings
from fusionapp.adapters.huggingface.tuning.trainable import TrainableEncoder
from fusionapp.adapters.model_files.attention import supports_sdpa
from fusionapp.adapters.model_files.checkpoint import read_config
from fusionapp.adapters.model_files.files import ModelFiles
from fusionapp.adapters.model_files.source import ModelSource, find_source
from fusionapp.adapters.model_files.tokenization import TextTokenizer
from fusionapp.adapters.torch_shared.device import resolve_device
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import FineTuning


def open_trainable(
    settings: EncoderSettings,
    finetuning: FineTuning,
    *,
    dtype: Literal["float32", "bfloat16"] = "float32",
    device: str = "auto",
    dropout: float = 0.0,
    bidirectional: bool = False,
    activation_checkpointing: bool = False,
    seed: int = 0,
) -> TrainableEncoder:
    """Load an encoder with float32 weights and make ready what the method trains.

    Args:
        settings: which encoder, and how its texts are read.
        finetuning: the method.
        dtype: what the trainer's autocast multiplies in; 4-bit weights follow it where they are left to choose.
        device: "auto", "cpu" or a CUDA device.
        dropout: inside the encoder, in place of its own.
        bidirectional: let every token of a decoder see the whole text.
        activation_checkpointing: recompute activations rather than keep them.
        seed: of the adapters' initialisation.

    Returns:
        The encoder in training mode.

    Raises:
        UsageError: an unknown model or device, or a method that does not fit the model.
        UpstreamError: the model cannot be fetched.
        ResourceError: the weights do not fit in memory.
        CorruptArtifactError: the files are not a whole model.
    """
    _check_method(finetuning, bidirectional)
    source = find_source(settings.model, packaged=settings.revision is None)
    if settings.revision is not None and source.directory is not None:
        raise UsageError(
            f"revision: {settings.model} is a local directory and has no revisions; leave it out"
        )
    files = ModelFiles(source, settings.revision, settings.cache_dir, code=False)
    prefixes = _choose_prefixes(settings, source, files.directory)
    wishes = Wishes(
        layers=settings.layers,
        pooling=settings.pooling,
        prefix=prefixes["document"],
        max_length=settings.max_length,
        normalize=settings.normalize,
    )
    decisions = decide(files.directory, source.card, wishes)
    _refuse_foreign(decisions)
    tokenizers = _tokenizers(files.directory, decisions, settings, prefixes)
    files.weights  # noqa: B018  # fetched and complete before transformers looks for them
    place = resolve_device(device)
    with loading_errors(source.model):
        body = _load(files.directory, decisions, finetuning, dtype, place, dropout, bidirectional)
    if bidirectional:
        check_sees_ahead(body, source.model)
    adapted_body, adapted = apply_method(body, decisions.architecture.layers, finetuning, seed)
    if activation_checkpointing:
        _recompute_activations(
            body, source.model
        )  # after PEFT, which would add hooks for the re-entrant kind
    encoder = TrainableEncoder(
        adapted_body.to(place),
        settings,
        finetuning,
        decisions,
        tokenizers,
        prefixes,
        files.directory,
        adapted,
        bidirectional,
    )
    return encoder.train()


def _check_method(finetuning: FineTuning, bidirectional: bool) -> None:
    if finetuning.save == "adapter" and finetuning.method not in ("lora", "qlora"):
        raise UsageError(
            f"finetuning.save: {finetuning.method!r} trains the model's own weights and has no adapter to keep; "
            'set it to "merged"'
        )
    if finetuning.save == "adapter" and bidirectional:
        raise UsageError(
            "finetuning.save: an adapter cannot say that its base is to read in both directions, and would be "
            'opened over a causal one; set it to "merged"'
        )
    if finetuning.method != "qlora":
        return
    if not finetuning.load_in_4bit:
        raise UsageError(
            'finetuning.load_in_4bit: qlora holds its frozen weights in 4 bits; set method = "lora" to keep them '
            "as they are"
        )
    missing = [name for name in ("bitsandbytes", "accelerate", "peft") if not find_spec(name)]
    if missing:
        raise UsageError(
            f"finetuning.method: 'qlora' needs {', '.join(missing)}; install the extra `tune` of fusionapp"
        )


def _refuse_foreign(decisions: Decisions) -> None:
    architecture = decisions.architecture
    if not architecture.native or architecture.latent_attention:
        raise UsageError(
            f"model: {architecture.model_type} needs code or pooling layers beside transformers, which are not "
            "tuned here; use another model"
        )


def _choose_prefixes(settings: EncoderSettings, source: ModelSource, directory: Path) -> dict[Side, str]:
    """As the encoder that reads the same texts without training would choose them."""
    prompts = read_prompts(directory)
    return {
        "query": choose_side_prefix("query", settings.query_prefix, prompts, source.card)[0],
        "document": choose_side_prefix("document", settings.document_prefix, prompts, source.card)[0],
    }


def _tokenizers(
    directory: Path, decisions: Decisions, settings: EncoderSettings, prefixes: Mapping[Side, str]
) -> dict[Side, TextTokenizer]:
    lengths: dict[Side, int | None] = {
        "query": settings.max_query_length,
        "document": settings.max_document_length,
    }
    tokenizers: dict[Side, TextTokenizer] = {}
    for side, length in lengths.items():
        if length is not None and length > decisions.max_length:
            raise UsageError(
                f"max_{side}_length: {length} is more than the encoder's {decisions.max_length} tokens"
            )
        used = attrs.evolve(
            decisions, prefix=prefixes[side], max_length=decisions.max_length if length is None else length
        )
        tokenizers[side] = load_tokenizer(directory, used)
    return tokenizers


def _load(
    directory: Path,
    decisions: Decisions,
    finetuning: FineTuning,
    dtype: str,
    place: torch.device,
    dropout: float,
    bidirectional: bool,
) -> nn.Module:
    from transformers import AutoConfig

    architecture = decisions.architecture
    config: Any = AutoConfig.from_pretrained(directory, local_files_only=True)
    _set_dropout(config, dropout)
    if bidirectional:
        refuse_direction(architecture, read_config(directory))
        config.is_causal = False
    # Padded and not packed: the packed path writes in place on a CPU, which has no gradient.
    path = "sdpa" if supports_sdpa(architecture.model_type) and not architecture.soft_capped else "eager"
    if place.type == "cpu" and path == "sdpa" and architecture.model_type in PACKED:
        path = "products"
    plan = ExecutionPlan(
        device=str(place),
        dtype="float32",
        attention=path,
        threads=torch.get_num_threads(),
        batch_tokens=1,
        compile=False,
    )
    compute = finetuning.bnb_4bit_compute_dtype
    body = load_transformer(
        directory,
        plan,
        quantization=finetuning.bnb_4bit_quant_type if finetuning.method == "qlora" else "none",
        config=config,
        compute_dtype=dtype if compute == "auto" else compute,
    )
    _keep_4bit_layout(body)
    return body


def _keep_4bit_layout(body: nn.Module) -> None:
    """In evaluation on a CPU with AVX-512 BF16, bitsandbytes would repack 4-bit weights in place.

    That rounds their scales to bfloat16: the next training step would see other weights.
    """
    for module in body.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            quantised: Any = module
            quantised.support_avx512bf16_for_cpu = False


def _set_dropout(config: Any, dropout: float) -> None:
    """Every dropout of the encoder; a classifier's own belongs to a head that is not here."""
    for name, value in config.to_dict().items():
        named = "dropout" in name or name.endswith("pdrop")
        if named and "classifier" not in name and isinstance(value, (int, float)):
            setattr(config, name, dropout)


def _recompute_activations(body: nn.Module, model: str) -> None:
    plain: Any = body
    # Its name before transformers renamed it.
    enable = getattr(plain, "activation_checkpointing_enable", None) or plain.gradient_checkpointing_enable
    try:
        # Not the re-entrant kind: below frozen embeddings that one loses every gradient.
        enable({"use_reentrant": False})
    except ValueError as error:
        raise UsageError(
            f"activation_checkpointing: transformers' {type(body).__name__} cannot recompute its activations; set "
            f"it to false, or use another model than {model}"
        ) from error
