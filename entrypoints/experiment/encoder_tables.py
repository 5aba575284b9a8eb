"""The ``[encoders.NAME]`` tables: every key of each adapter, and what does not go together in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal, get_args

import attrs
from attrs.validators import and_, ge, gt, le, min_len, optional

from fusionapp.adapters.openai_compatible.address import OPENAI, address_problems
from fusionapp.adapters.openai_compatible.dims import dim_problems
from fusionapp.domain.recipe import SourceRecipe
from fusionapp.domain.settings import setting
from fusionapp.entrypoints.experiment.names import NAME_PATTERN


@attrs.frozen
class HuggingFaceSettings:
    """An ``[encoders.NAME]`` table of a transformer from a hub or a directory."""

    model: str = setting("an alias of `fusionapp encoders`, a hub id, or a local directory")
    adapter: Literal["huggingface"] = setting("which adapter encodes", "huggingface")
    layers: Literal["all"] | tuple[int, ...] = setting(
        'which hidden states are pooled; [-1] is the last, "all" every transformer layer', (-1,), min_len(1)
    )
    pooling: Literal["auto", "mean", "cls", "last"] = setting("how token states become one vector", "auto")
    prefix: str | None = setting("put before every text; default: what the model was trained with", None)
    max_length: int | None = setting("tokens kept of a text; default: the model's", None, optional(ge(1)))
    normalize: bool | None = setting("L2-normalise each vector; default: as the model's card says", None)
    padding_side: Literal["auto", "left", "right"] = setting("where batches are padded", "auto")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "compute dtype; auto takes bfloat16 where the hardware multiplies it", "auto"
    )
    device: str = setting(
        '"auto", "cpu", a CUDA device such as "cuda:0", or "spread" over all there are',
        "auto",
    )
    quantization: Literal["none", "int8", "nf4"] = setting(
        "hold the weights in 8 or 4 bits (bitsandbytes), for a model too large for the device", "none"
    )
    on_truncate: Literal["warn", "error", "chunk"] = setting(
        "what becomes of a text longer than max_length: cut and counted, refused, or the mean over its windows",
        "warn",
    )
    compile: bool = setting(
        "put the layers through torch.compile: for GPUs and long jobs; on CPUs it gained nothing measurable",
        False,
    )
    batch_tokens: int | None = setting("tokens in a batch, padding included", None, optional(ge(1)))
    revision: str | None = setting("the hub model's revision", None)
    trust_remote_code: bool = setting("run code from the hub; needs a pinned revision", False)


@attrs.frozen
class LexicalSettings:
    """An ``[encoders.NAME]`` table of hashed word and character n-grams; needs no model."""

    adapter: Literal["lexical"] = setting("which adapter encodes")
    word_ngrams: tuple[int, int] = setting("shortest and longest word n-gram", (1, 2))
    char_ngrams: tuple[int, int] = setting("shortest and longest character n-gram within words", (2, 5))
    dim: int = setting("hash buckets: a power of two", 2**20, and_(ge(2), le(2**26)))


@attrs.frozen
class OpenAISettings:
    """An ``[encoders.NAME]`` table of a model behind any server that speaks OpenAI's ``/v1/embeddings``."""

    adapter: Literal["openai"] = setting("which adapter encodes")
    model: str = setting("the model, as the server calls it", check=min_len(1))
    base_url: str = setting("the server: what stands before /embeddings; texts are sent there", OPENAI)
    api_key_env: str | None = setting(
        "NAME of the environment variable that holds the key; default: OPENAI_API_KEY for OpenAI itself, and no "
        "key for other servers",
        None,
    )
    allow_http: bool = setting("send the key over plain http to another machine", False)
    dimensions: int | None = setting(
        "width to ask the server for, where its model can be shortened", None, optional(ge(1))
    )
    dim: int | None = setting(
        "width of the model's vectors; default: what is known of it, else one request asks",
        None,
        optional(ge(1)),
    )
    prefix: str | None = setting("put before every text; default: as the model's card says", None)
    max_length: int | None = setting(
        "tokens kept of a text, estimated (4 ASCII characters or 3 other bytes each); default: never cut here",
        None,
        optional(ge(1)),
    )
    normalize: bool | None = setting(
        "L2-normalise each vector; default: as the model's card says, else as the server sends it", None
    )
    batch_tokens: int | None = setting(
        "tokens in a request, estimated; default: 16384", None, optional(ge(1))
    )
    batch_size: int = setting("texts in a request", 32, ge(1))
    concurrency: int = setting("requests at once", 4, and_(ge(1), le(256)))
    timeout: float = setting("seconds until a request counts as failed", 60.0, gt(0.0))
    retries: int = setting("how often a failed request is repeated, with growing pauses", 5, ge(0))


@attrs.frozen
class ImportedSettings:
    """An ``[encoders.NAME]`` table of vectors that were made elsewhere, a file for each split of the dataset."""

    adapter: Literal["imported"] = setting("which adapter encodes")
    train: str | None = setting(
        "matrix of the training texts, row by row: .pt, .npy, .safetensors or .parquet; (rows, dim) or (rows, "
        "layers, dim)",
        None,
    )
    validation: str | None = setting(
        "matrix of the validation texts, where the dataset has such a split", None
    )
    test: str | None = setting("matrix of the test texts", None)
    model: str | None = setting("what made the vectors; a part of their identity", None)


@attrs.frozen
class SentenceTransformersSettings:
    """An ``[encoders.NAME]`` table of a saved sentence-transformers pipeline, all of its modules included."""

    adapter: Literal["sentence_transformers"] = setting("which adapter encodes")
    model: str = setting("an alias, a hub id, or a local directory with a modules.json", check=min_len(1))
    prefix: str | None = setting("put before every text; default: the card's, else the pipeline's", None)
    max_length: int | None = setting("tokens kept of a text; default: the pipeline's", None, optional(ge(1)))
    normalize: bool = setting("L2-normalise each vector, whatever the pipeline ends in", False)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "compute dtype; auto is float32 on a CPU, bfloat16 or float16 on a GPU", "auto"
    )
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")
    batch_tokens: int | None = setting("tokens in a batch, padding included", None, optional(ge(1)))
    revision: str | None = setting("the hub model's revision", None)


@attrs.frozen
class OnnxSettings:
    """An ``[encoders.NAME]`` table of a directory that `fusionapp export encoder` wrote."""

    adapter: Literal["onnx"] = setting("which adapter encodes")
    model: str = setting(
        "the directory; prefix, length, layers and pooling are those it was written with", check=min_len(1)
    )
    device: str = setting('"auto", "cpu" or a CUDA device such as "cuda:0"', "auto")
    batch_tokens: int | None = setting("tokens in a batch, padding included", None, optional(ge(1)))


EncoderSettings = (
    HuggingFaceSettings
    | SentenceTransformersSettings
    | OnnxSettings
    | LexicalSettings
    | OpenAISettings
    | ImportedSettings
)


def encoder_problems(name: str, encoder: EncoderSettings) -> list[str]:
    """What does not go together in one table, one line each, starting with the key's path."""
    found = []
    if not re.fullmatch(NAME_PATTERN, name):
        found.append(
            f"encoders.{name}: {name!r} is not a name; use at most 100 letters, digits, '.', '_', '-'"
        )
    if isinstance(encoder, HuggingFaceSettings) and encoder.trust_remote_code and not encoder.revision:
        found.append(f"encoders.{name}.trust_remote_code: true needs a pinned `revision` (a commit hash)")
    if isinstance(encoder, OpenAISettings):
        wrong = address_problems(encoder.base_url, encoder.api_key_env, encoder.allow_http)
        wrong += dim_problems(encoder.dim, encoder.dimensions)
        found += [f"encoders.{name}.{line}" for line in wrong]
    if isinstance(encoder, ImportedSettings) and not (encoder.train or encoder.validation or encoder.test):
        found.append(f'encoders.{name}: names no matrix; add one for each split, such as train = "train.npy"')
    if isinstance(encoder, LexicalSettings):
        if encoder.dim & (encoder.dim - 1):
            found.append(f"encoders.{name}.dim: {encoder.dim} is not a power of two; use 1048576")
        for key in ("word_ngrams", "char_ngrams"):
            low, high = getattr(encoder, key)
            if not 1 <= low <= high:
                found.append(f"encoders.{name}.{key}: expected 1 <= shortest <= longest, got [{low}, {high}]")
    return found


def source_problems(name: str, source: SourceRecipe, encoders: Mapping[str, EncoderSettings]) -> list[str]:
    """Of a ``[train.sources.NAME]`` table: no such encoder, and keys that are for the other kind of source."""
    key = f"train.sources.{name}"
    encoder = encoders.get(name)
    if encoder is None:
        near = get_close_matches(name, encoders, n=1)
        known = f"did you mean {near[0]!r}?" if near else f"the encoders are {', '.join(encoders)}"
        return [f"{key}: no such encoder; {known}"]
    if not isinstance(encoder, get_args(EncoderSettings)):  # another package's: it may be of either kind
        return []
    # What a key says of itself names its kind of source, so that no second list of keys can forget one.
    kind, other = ("sparse", "dense") if isinstance(encoder, LexicalSettings) else ("dense", "sparse")
    return [
        f"{key}.{field.name}: is for {other} sources, and {name!r} is {kind}; leave it out"
        for field in attrs.fields(SourceRecipe)
        if field.metadata["meaning"].startswith(f"{other}:") and getattr(source, field.name) != field.default
    ]
