"""What a saved pipeline says of itself, read from its JSON files alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from fusionapp.adapters.model_files.checkpoint import inside, read_json
from fusionapp.adapters.sentence_transformers.refusals import refuse_code
from fusionapp.domain.errors import CorruptArtifactError, UsageError

_HIDDEN = ("hidden_size", "dim", "n_embd", "d_model")
_TEXT_READERS = ("Transformer", "StaticEmbedding", "WordEmbeddings", "BoW")
"""Modules that a pipeline may start with: others read images, or choose among modules."""

_POSITIONS = ("max_position_embeddings", "n_positions")


@attrs.frozen
class Module:
    """One module of a pipeline.

    Attributes:
        kind: its class, without the package.
        folder: where its files are.
    """

    kind: str
    folder: Path


@attrs.frozen
class Pipeline:
    """A saved pipeline.

    Attributes:
        directory: where it is.
        modules: in order.
        dim: numbers in its embedding, None where only the weights tell.
        max_length: most tokens of a text, None where it reads texts of any length.
        lower_case: whether text is lower-cased before the tokenizer.
        prompt: what stands before each text by default.
        attention: "sdpa" or "eager" as its transformer has it, "none" without a transformer.
        positions: most tokens that its transformer has positions for, None where it does not say.
        mixes_layers: whether a module reads the hidden states of all layers.
        reads_padding: whether a module looks from a token to its neighbours, padding included.
    """

    directory: Path
    modules: tuple[Module, ...]
    dim: int | None
    max_length: int | None
    lower_case: bool
    prompt: str
    attention: str
    positions: int | None
    mixes_layers: bool
    reads_padding: bool

    @property
    def first(self) -> Module:
        """The module that reads text."""
        return self.modules[0]


def read_pipeline(directory: Path) -> Pipeline:
    """Understand ``modules.json`` and what it points to, once all of it is known to run no foreign code.

    Raises:
        UsageError: there is no pipeline, or it asks for code or kernels.
        CorruptArtifactError: a file is not what it should be, or points out of the directory.
    """
    listed = read_json(directory / "modules.json")
    if listed is None:
        raise UsageError(
            f'model: {directory} has no modules.json; it is no saved pipeline, use adapter = "huggingface"'
        )
    try:
        refuse_code(directory, listed)
        modules = tuple(
            Module(str(one["type"]).rpartition(".")[2], inside(directory, one["path"])) for one in listed
        )
        about = read_json(directory / "config_sentence_transformers.json") or {}
        dim = _dim(modules)
        cut = about.get("truncate_dim")
        transformer = _transformer_config(modules[0])
        length, lower_case = _limits(modules[0], transformer)
        return Pipeline(
            directory=directory,
            modules=modules,
            dim=dim if cut is None or dim is None else min(dim, int(cut)),
            max_length=length,
            lower_case=lower_case,
            prompt=str((about.get("prompts") or {}).get(about.get("default_prompt_name")) or ""),
            attention=_attention(transformer),
            positions=_positions(transformer),
            mixes_layers=any(module.kind == "WeightedLayerPooling" for module in modules),
            reads_padding=any(module.kind == "CNN" for module in modules),
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise CorruptArtifactError(
            f"{directory}: its modules.json, or a file that it names, is not what sentence-transformers writes "
            f"({type(error).__name__}: {error}); fetch the model again"
        ) from error


def _dim(modules: tuple[Module, ...]) -> int | None:
    """Follow the width through the modules; None after a module whose files do not say it."""
    width: int | None = None
    for module in modules:
        config: Mapping[str, Any] = next(
            (found for path in sorted(module.folder.glob("*config.json")) if (found := _table(path, module))),
            {},
        )
        if module.kind in _WIDTHS:
            width = _WIDTHS[module.kind](config, width)
        elif module.kind not in ("Normalize", "Dropout", "LayerNorm", "WeightedLayerPooling"):
            width = None
    return width


def _table(path: Path, module: Module) -> Mapping[str, Any] | None:
    """A module's own configuration: of a transformer's many files, ``config.json``."""
    if module.kind == "Transformer" and path.name != "config.json":
        return None
    found = read_json(path)
    return found if isinstance(found, dict) else None


def _transformer(config: Mapping[str, Any], _: int | None) -> int | None:
    body = config.get("text_config") or config
    return next((int(body[key]) for key in _HIDDEN if isinstance(body.get(key), int)), None)


def _pooling(config: Mapping[str, Any], width: int | None) -> int | None:
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    count = 1 if isinstance(modes, str) else max(1, len(modes))
    return None if width is None else width * count


def _cnn(config: Mapping[str, Any], _: int | None) -> int:
    return int(config["out_channels"]) * len(config["kernel_sizes"])


def _lstm(config: Mapping[str, Any], _: int | None) -> int:
    return int(config["hidden_dim"]) * (2 if config.get("bidirectional", True) else 1)


_WIDTHS: Mapping[str, Callable[[Mapping[str, Any], int | None], int | None]] = {
    "Transformer": _transformer,
    "Pooling": _pooling,
    "Dense": lambda config, _: int(config["out_features"]),
    "CNN": _cnn,
    "LSTM": _lstm,
}
"""How a module changes the width, by its class."""


def _transformer_config(first: Module) -> Mapping[str, Any]:
    """A first transformer's ``config.json``; empty for a pipeline that starts from something else.

    Raises:
        UsageError: it starts from something that reads more than text.
    """
    if first.kind not in _TEXT_READERS:
        raise UsageError(
            f"model: the pipeline starts with a {first.kind}; use one that starts with "
            f"{', '.join(_TEXT_READERS)}"
        )
    found = read_json(first.folder / "config.json") if first.kind == "Transformer" else None
    return found if isinstance(found, dict) else {}


def _attention(config: Mapping[str, Any]) -> str:
    from fusionapp.adapters.model_files.attention import supports_sdpa

    if not config:
        return "none"
    body = config.get("text_config") or config
    # Logits that are capped have no fused path.
    capped = body.get("attn_logit_softcapping") is not None
    return "sdpa" if not capped and supports_sdpa(str(config.get("model_type"))) else "eager"


def _positions(config: Mapping[str, Any]) -> int | None:
    return next((int(config[key]) for key in _POSITIONS if isinstance(config.get(key), int)), None)


def _limits(first: Module, config: Mapping[str, Any]) -> tuple[int | None, bool]:
    """Most tokens, and whether text is lower-cased."""
    own: dict[str, Any] = {}
    for name in ("sentence_*_config.json", "wordembedding_config.json"):
        for path in sorted(first.folder.glob(name)):
            own |= read_json(path)
    length = own.get("max_seq_length")
    if length is None and config:
        tokenizer = (read_json(first.folder / "tokenizer_config.json") or {}).get("model_max_length")
        # An unset length is written as 1e30.
        known = [int(one) for one in (tokenizer, _positions(config)) if one and one < 1e9]
        length = min(known, default=None)
    return None if length is None else int(length), bool(own.get("do_lower_case"))
