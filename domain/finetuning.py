"""Which weights of an encoder are trained, and how: one table for every task that tunes encoders."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import and_, ge, lt

from fusionapp.domain.settings import setting

Method = Literal["full", "last_layers", "bitfit", "lora", "qlora"]

LEARNING_RATES: dict[Method, float] = {
    "full": 3e-5,
    "last_layers": 5e-5,
    "bitfit": 5e-4,
    "lora": 2e-4,
    "qlora": 2e-4,
}
"""Default step sizes, within the ranges that the router's authors advise: LoRA and QLoRA 1e-4 to 5e-4, last layers
1e-5 to 1e-4, full 1e-5 to 5e-5. BitFit's are larger than full tuning's by an order (Ben Zaken et al. 2022)."""


@attrs.frozen
class FineTuning:
    """The ``[train.finetuning]`` table.

    Attributes are its keys; each one's meaning is printed by ``fusionapp schema``.
    """

    method: Method = setting(
        "what is trained: every weight, the last layers, bias vectors alone, or low-rank adapters on frozen "
        "weights, which qlora holds in 4 bits",
        "full",
    )
    rank: int = setting("lora, qlora: rank of the adapters", 16, ge(1))
    alpha: float = setting("lora, qlora: adapters are scaled by alpha / rank, or alpha / sqrt(rank)", 32.0)
    dropout: float = setting(
        "lora, qlora: dropout before an adapter; above 0, each keeps a copy of its input for the way back",
        0.05,
        and_(ge(0.0), lt(1.0)),
    )
    target_modules: Literal["auto"] | tuple[str, ...] = setting(
        "lora, qlora: names of the linear layers that get an adapter; auto: every one within the layers",
        "auto",
    )
    rslora: bool = setting("lora, qlora: scale by alpha / sqrt(rank) (Kalajdzievski 2023)", False)
    dora: bool = setting("lora, qlora: train magnitude and direction apart (Liu et al. 2024)", False)
    num_layers: int = setting("last_layers: how many of the last layers are trained", 2, ge(1))
    load_in_4bit: bool = setting("qlora: hold the frozen weights in 4 bits", True)
    bnb_4bit_compute_dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "qlora: what 4-bit weights are multiplied in", "auto"
    )
    bnb_4bit_quant_type: Literal["nf4", "fp4"] = setting("qlora: how 4 bits are read", "nf4")
    save: Literal["merged", "adapter"] = setting(
        "lora, qlora: adapter keeps the adapters beside the merged model as well, to be opened by PEFT",
        "merged",
    )

    def step_size(self, asked: float | None = None) -> float:
        """The learning rate asked for, else the method's."""
        return LEARNING_RATES[self.method] if asked is None else asked
