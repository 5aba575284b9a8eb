"""Choosing which weights of a model are trained."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import nn

from fusionapp.adapters.huggingface.views import find_blocks
from fusionapp.adapters.torch_shared.quiet import quiet_loggers
from fusionapp.domain.errors import UsageError
from fusionapp.domain.finetuning import FineTuning

ADAPTER = "default"
"""The name that PEFT gives to the one adapter of a model."""


def apply_method(
    body: nn.Module, depth: int, finetuning: FineTuning, seed: int
) -> tuple[nn.Module, list[str]]:
    """Freeze what is not trained, and add adapters where the method wants them.

    Args:
        body: a transformers model without a head, quantised where the method is qlora.
        depth: transformer layers.
        finetuning: the method.
        seed: of the adapters' initialisation.

    Returns:
        The model, in PEFT's wrapper where it has adapters, and the names of the modules that have one.

    Raises:
        UsageError: the method would train nothing in this model, or names what it lacks.
    """
    if finetuning.method in ("lora", "qlora"):
        names = target_modules(body, depth, finetuning.target_modules)
        return _with_adapters(body, names, finetuning, seed), names
    trained = {
        "full": lambda: _all(body),
        "last_layers": lambda: _last_layers(body, depth, finetuning.num_layers),
        "bitfit": lambda: _biases(body),
    }[finetuning.method]()
    chosen = {id(parameter) for parameter in trained}
    for parameter in body.parameters():
        parameter.requires_grad_(id(parameter) in chosen)
    return body, []


def target_modules(body: nn.Module, depth: int, asked: str | tuple[str, ...]) -> list[str]:
    """Whole names of the linear layers that get an adapter.

    Only those within the transformer layers: BERT's pooler is never used, so its adapter would never learn.

    Raises:
        UsageError: a name that no linear layer within the layers has, with those that exist.
    """
    blocks = find_blocks(body, depth)
    within = {id(module) for module in blocks.modules() if isinstance(module, nn.Linear)}
    linear = [name for name, module in body.named_modules() if id(module) in within]
    if not linear:
        raise UsageError(
            f'finetuning.method: {type(body).__name__} has no linear layers to adapt; use method = "last_layers"'
        )
    if asked == "auto":
        return linear
    if not asked:
        raise UsageError(f'finetuning.target_modules: names no layer; use "auto" or some of {_short(linear)}')
    found: set[str] = set()
    for name in asked:
        matching = [each for each in linear if each == name or each.endswith(f".{name}")]
        if not matching:
            raise UsageError(
                f"finetuning.target_modules: {name!r} is no linear layer within the model's layers, which has "
                f"{_short(linear)}"
            )
        found.update(matching)
    return [name for name in linear if name in found]


def _short(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in names))


def _with_adapters(body: nn.Module, names: list[str], finetuning: FineTuning, seed: int) -> nn.Module:
    if not find_spec("peft"):
        raise UsageError(
            f"finetuning.method: {finetuning.method!r} needs peft; install the extra `tune` of fusionapp"
        )
    with quiet_loggers("bitsandbytes"):  # PEFT imports bitsandbytes where it is installed
        from peft import LoraConfig, TaskType, get_peft_model

    config = LoraConfig(
        task_type=TaskType.FEATURE_EXTRACTION,
        r=finetuning.rank,
        lora_alpha=cast(int, finetuning.alpha),
        lora_dropout=finetuning.dropout,
        target_modules=names,
        use_rslora=finetuning.rslora,
        use_dora=finetuning.dora,
    )
    # PEFT asks by a name that transformers 5 has deprecated.
    with torch.random.fork_rng(), quiet_loggers("peft"):
        torch.manual_seed(seed)
        adapted: Any = get_peft_model(cast(Any, body), config, adapter_name=ADAPTER)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return cast(nn.Module, adapted)


def _all(body: nn.Module) -> list[nn.Parameter]:
    # The pooler is not on the way to an embedding: no gradient ever reaches it.
    return [each for name, each in body.named_parameters() if "pooler" not in name]


def _last_layers(body: nn.Module, depth: int, count: int) -> list[nn.Parameter]:
    """The last layers, and what follows them in the module that holds them: a decoder's final norm."""
    if count > depth:
        raise UsageError(
            f"finetuning.num_layers: {count} is more than the {depth} layers that the model has; ask for fewer, "
            'or set method = "full"'
        )
    blocks = find_blocks(body, depth)
    holder = next(module for module in body.modules() if blocks in module.children())
    siblings = list(holder.children())
    after = [each for each in siblings[siblings.index(blocks) + 1 :] if _is_norm(each)]
    return [parameter for module in (*blocks[depth - count :], *after) for parameter in module.parameters()]


def _is_norm(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and all(parameter.ndim == 1 for parameter in parameters)


def _biases(body: nn.Module) -> list[nn.Parameter]:
    """Bias vectors, those of norms included (Ben Zaken et al. 2022)."""
    found = [each for name, each in body.named_parameters() if name.endswith("bias") and "pooler" not in name]
    if not found:
        raise UsageError(
            f"finetuning.method: {type(body).__name__} has no bias vectors, so that bitfit would train nothing; "
            'use method = "lora"'
        )
    return found
