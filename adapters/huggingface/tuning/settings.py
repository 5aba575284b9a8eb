"""Which encoder is tuned, and how its texts are read."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class EncoderSettings:
    """An encoder as the experiment file describes it; None and "auto" leave a choice to the model.

    Attributes:
        model: alias, hub id or local directory.
        pooling: "auto", "mean", "cls" or "last".
        query_prefix: what stands before each query.
        document_prefix: what stands before each document.
        max_length: most tokens of a text, prefix and special tokens included.
        max_query_length: tokens kept of a query, where they are fewer.
        max_document_length: tokens kept of a document, where they are fewer.
        layers: indices into the hidden states that are pooled, or "all"; contrastive tuning takes the last one.
        normalize: whether the saved encoder scales its vectors to length 1; training's loss decides for itself.
        revision: branch, tag or commit on the hub.
        cache_dir: the hub's cache.
    """

    model: str
    pooling: str = "auto"
    query_prefix: str | None = None
    document_prefix: str | None = None
    max_length: int | None = None
    max_query_length: int | None = None
    max_document_length: int | None = None
    normalize: bool | None = None
    layers: Literal["all"] | tuple[int, ...] = (-1,)
    revision: str | None = None
    cache_dir: str | None = None
