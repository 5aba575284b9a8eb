"""The settings of a fusion, and which combinations make sense."""

from __future__ import annotations

from typing import Literal

import attrs
from attrs.validators import ge, gt, optional

from fusionapp.domain.settings import setting

FusionKind = Literal[
    "concat",
    "sum",
    "hadamard",
    "matmul",
    "quaternion",
    "all_features",
    "moe",
    "cooccurrence",
    "gated",
    "attention",
    "low_rank",
    "late",
]


@attrs.frozen
class FusionSpec:
    """How several sources become one vector.

    Attributes are the keys of the experiment's ``[fusion]`` table; each one's meaning is printed by
    ``fusionapp schema``.
    """

    kind: FusionKind = setting("which fusion", "concat")
    residual: bool = setting("concatenate the sources to the fused vector", False)
    dim: int | None = setting(
        "common width d that sources are projected to; default: the smallest dense dim, else 256",
        None,
        optional(ge(1)),
    )
    product_dim: int = setting(
        "width of the matmul and quaternion products; a square divisible by 4", 1024, ge(4)
    )
    bag_width: int = setting("width of the embedding bag through which a sparse source enters", 64, ge(1))
    experts: int = setting("moe: number of experts", 5, ge(1))
    expert_dim: int = setting("moe: width of each expert", 1024, ge(1))
    rank: int = setting("low_rank: rank of the bilinear map", 256, ge(1))
    heads: int = setting("attention: number of attention heads", 4, ge(1))
    normalize: bool = setting(
        "cooccurrence: L2-normalise views before their products; false reproduces LLMEmbed", True
    )
    triangle: Literal["full", "upper"] = setting(
        "cooccurrence: all cells of the symmetric matrix, or the distinct ones", "full"
    )
    power: Literal["code", "paper", "none"] = setting(
        "cooccurrence: power normalisation, tanh(sigma x / 2) as LLMEmbed's code, tanh(2 sigma x) as its paper",
        "code",
    )
    sigma: float = setting("cooccurrence: scale inside the power normalisation", 1.0, gt(0.0))

    def problems(self) -> list[str]:
        """What does not go together, one line each, starting with the key."""
        found = []
        if self.residual and self.kind in ("concat", "all_features"):
            found.append(f"fusion.residual: '{self.kind}' already holds the sources; set residual = false")
        if self.residual and self.kind == "late":
            found.append("fusion.residual: 'late' makes no fused vector to add to; set residual = false")
        root = round(self.product_dim**0.5)
        if self.kind in ("matmul", "all_features") and root * root != self.product_dim:
            found.append(f"fusion.product_dim: {self.product_dim} is not a square; use 256, 1024 or 4096")
        if self.kind in ("quaternion", "all_features") and self.product_dim % 4:
            found.append(f"fusion.product_dim: {self.product_dim} is not divisible by 4; use 256 or 1024")
        return found
