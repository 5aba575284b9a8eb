"""Which attention paths a model has."""

from __future__ import annotations

from typing import Any


def supports_sdpa(model_type: str) -> bool:
    """Whether transformers' class for a model type has the fused attention path; True for a type it lacks."""
    from transformers import CONFIG_MAPPING, AutoModel

    if model_type not in CONFIG_MAPPING:
        return True
    kind: Any = AutoModel._model_mapping.get(CONFIG_MAPPING[model_type], None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    return bool(getattr(kind, "_supports_sdpa", True))
