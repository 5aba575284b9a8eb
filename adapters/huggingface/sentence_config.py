"""What a sentence-transformers model says of its own pooling, in both layouts of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from fusionapp.adapters.model_files.checkpoint import inside, read_json
from fusionapp.domain.catalogue import Pooling

_MODES: Mapping[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}

_OLD_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""Up to sentence-transformers 5: one boolean a mode; from 6 on: one key, ``pooling_mode``."""


@attrs.frozen
class SentenceConfig:
    """The modules that follow a transformer, as far as they are followed here.

    Attributes:
        pooling: the pooling that its configuration names, None where it has none.
        normalize: whether a Normalize module ends it.
        max_length: most tokens, None where it does not say.
        lower_case: whether text is lower-cased before the tokenizer.
        prompt: what stands before each text by default.
        pool_prompt: whether the prompt's tokens take part in the pooling.
        unsupported: what it has that is not followed here (a dense layer, max pooling), None where nothing.
    """

    pooling: Pooling | None = None
    normalize: bool = False
    max_length: int | None = None
    lower_case: bool = False
    prompt: str = ""
    pool_prompt: bool = True
    unsupported: str | None = None


def read_sentence_config(directory: Path) -> SentenceConfig | None:
    """Read ``modules.json`` and what it points to; None where the model is no sentence-transformers model.

    Raises:
        CorruptArtifactError: a file is not JSON, or points out of the directory.
    """
    modules = read_json(directory / "modules.json")
    if not modules:
        return None
    found = SentenceConfig(prompt=_default_prompt(directory))
    for settings in map(read_json, sorted(directory.glob("sentence_*_config.json"))):
        found = attrs.evolve(
            found,
            max_length=settings.get("max_seq_length"),
            lower_case=bool(settings.get("do_lower_case")),
        )
    for module in modules:
        kind = str(module["type"]).rpartition(".")[2]
        if kind == "Pooling":
            found = _with_pooling(found, read_json(inside(directory, module["path"]) / "config.json") or {})
        elif kind == "Normalize":
            found = attrs.evolve(found, normalize=True)
        elif kind not in ("Transformer", "Dropout"):
            found = attrs.evolve(found, unsupported=f"a {kind} module")
    return found


def _with_pooling(found: SentenceConfig, settings: Mapping[str, Any]) -> SentenceConfig:
    modes = settings.get("pooling_mode") or [mode for key, mode in _OLD_KEYS.items() if settings.get(key)]
    modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    if len(modes) > 1 or modes[0] not in _MODES:
        return attrs.evolve(found, unsupported=f"{' + '.join(modes)} pooling")
    return attrs.evolve(
        found, pooling=_MODES[modes[0]], pool_prompt=bool(settings.get("include_prompt", True))
    )


Side = Literal["query", "document"]
"""What a text is in a search."""


@attrs.frozen
class Prompts:
    """What a sentence-transformers model puts before the two kinds of texts of a search.

    Attributes:
        query: before a query.
        document: before a document; some models call it a passage.
    """

    query: str = ""
    document: str = ""


def read_prompts(directory: Path) -> Prompts:
    """The prompts for queries and documents; where one has no name of its own, the default prompt.

    Raises:
        CorruptArtifactError: a file is not JSON.
    """
    settings = read_json(directory / "config_sentence_transformers.json") or {}
    prompts = settings.get("prompts") or {}
    default = _default_prompt(directory)
    document = prompts.get("document", prompts.get("passage", default))
    return Prompts(query=str(prompts.get("query", default) or ""), document=str(document or ""))


def _default_prompt(directory: Path) -> str:
    settings = read_json(directory / "config_sentence_transformers.json") or {}
    prompts = settings.get("prompts") or {}
    return str(prompts.get(settings.get("default_prompt_name")) or "")
