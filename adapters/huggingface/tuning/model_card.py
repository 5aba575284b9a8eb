"""What the ``README.md`` of a tuned encoder says, for people and for the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import attrs

from fusionapp.domain.embeddings import Json


@attrs.frozen
class Split:
    """One split of the data.

    Attributes:
        name: train, validation or test.
        pairs: of a query and a document.
        queries: distinct ones.
        documents: distinct ones.
        sha256: of its texts and pairs.
    """

    name: str
    pairs: int
    queries: int
    documents: int
    sha256: str


@attrs.frozen
class Score:
    """A metric with its 95 % interval; without one where it was not drawn."""

    mean: float
    low: float | None = None
    high: float | None = None


@attrs.frozen
class Control:
    """What the tuned encoder is held against.

    Attributes:
        name: as leaderboards print it.
        score: its MRR@10 on the test split.
        verdict: what the tuned encoder is beside it: better, worse or not separable.
    """

    name: str
    score: Score
    verdict: str


@attrs.frozen
class Chosen:
    """MRR@10 on the validation split, by which the step was chosen.

    Attributes:
        untuned: before the first step.
        tuned: at the step that was kept.
    """

    untuned: float
    tuned: float


@attrs.frozen
class Tuned:
    """The encoder that the card is about.

    Attributes:
        name: of the run.
        base: the model that was tuned: a hub id, or the name of a directory.
        base_licence: the base model's licence as the hub spells it, None where it is not known.
        dim: width of an embedding.
        max_length: most tokens of a text.
        pooling: how token states become a vector.
        similarity: how two vectors are compared.
        query_prefix: what stands before a query.
        document_prefix: what stands before a document.
        bidirectional: whether a decoder was made to see the whole text.
        method: of fine-tuning.
        trainable: numbers that were trained.
        parameters: all numbers of the encoder.
    """

    name: str
    base: str
    base_licence: str | None
    dim: int
    max_length: int
    pooling: str
    similarity: Literal["cosine", "dot"]
    query_prefix: str
    document_prefix: str
    bidirectional: bool
    method: str
    trainable: int
    parameters: int


def model_card(
    tuned: Tuned,
    splits: Sequence[Split],
    recipe: Mapping[str, Json],
    scores: Mapping[str, Score],
    untuned: Mapping[str, Score],
    versions: Mapping[str, str],
    controls: Sequence[Control] = (),
    chosen: Chosen | None = None,
    seeds: int = 1,
) -> str:
    """Markdown with the hub's front matter.

    Args:
        tuned: the encoder.
        splits: what it was trained, chosen and tested on.
        recipe: the settings of training, by key.
        scores: metrics on the test split; empty before evaluation.
        untuned: the same metrics of the encoder before tuning.
        versions: of the libraries that it was made with.
        controls: on the test split; empty before evaluation.
        chosen: on the validation split; None where nobody says.
        seeds: over how many encoders, of which this is one, the scores are means.
    """
    parts = (
        _front_matter(tuned),
        _introduction(tuned),
        _usage(tuned),
        _results(scores, untuned, seeds),
        _controls(controls),
        _chosen(chosen),
        _data(splits),
        _training(tuned, recipe, versions),
        _licence(tuned),
    )
    written = [lines for part in parts if (lines := list(part))]
    return "\n".join(line for lines in written for line in (*lines, ""))


def _front_matter(tuned: Tuned) -> Iterator[str]:
    # JSON strings are YAML strings, whatever stands in them.
    yield "---"
    yield "library_name: sentence-transformers"
    yield "pipeline_tag: sentence-similarity"
    yield "tags: [sentence-transformers, feature-extraction, fusionapp]"
    if "/" in tuned.base:
        yield f"base_model: {json.dumps(tuned.base)}"
    yield f"license: {json.dumps(tuned.base_licence or 'other')}"
    yield "---"


def _introduction(tuned: Tuned) -> Iterator[str]:
    share = tuned.trainable / tuned.parameters
    yield f"# {_plain(tuned.name)}"
    yield ""
    yield (
        f"{_code(tuned.base)}, tuned for retrieval by fusionapp ({tuned.method}: {tuned.trainable:,} of "
        f"{tuned.parameters:,} numbers trained, {share:.2%}). Its embeddings have {tuned.dim} numbers, are the "
        f"{tuned.pooling} of the token states and compare by {tuned.similarity}; a text has at most "
        f"{tuned.max_length:,} tokens."
    )
    if tuned.bidirectional:
        yield ""
        yield "Every token sees the whole text: `config.json` says `is_causal: false`, which transformers 5 heeds."


def _usage(tuned: Tuned) -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "```python"
    yield "from sentence_transformers import SentenceTransformer"
    yield ""
    yield 'model = SentenceTransformer("path/to/this/directory")'
    yield 'queries = model.encode(["what is asked"], prompt_name="query")'
    yield 'documents = model.encode(["what may answer it"], prompt_name="document")'
    yield "print(model.similarity(queries, documents))"
    yield "```"
    yield ""
    yield "In an experiment of fusionapp:"
    yield ""
    yield "```toml"
    yield "[encoders.tuned]"
    yield 'model = "path/to/this/directory"'
    yield f"query_prefix = {json.dumps(tuned.query_prefix)}"
    yield f"prefix = {json.dumps(tuned.document_prefix)}"
    yield "```"


def _results(scores: Mapping[str, Score], untuned: Mapping[str, Score], seeds: int) -> Iterator[str]:
    yield "## Results"
    yield ""
    if not scores:
        yield "Not evaluated yet."
        return
    mean = f", the mean of {seeds} seeds, of which this encoder is one" if seeds > 1 else ""
    yield f"On the test split, which nothing was chosen on, with 95 % intervals{mean}:"
    yield ""
    yield "| metric | tuned | before tuning |"
    yield "|---|---|---|"
    for name, score in scores.items():
        yield f"| {_cell(name)} | {_score(score)} | {_score(untuned.get(name))} |"


def _controls(controls: Sequence[Control]) -> Iterator[str]:
    if not controls:
        return
    yield "MRR@10 of what else can rank the same documents, and what the tuned encoder is beside it:"
    yield ""
    yield "| ranked by | mrr@10 | tuned is |"
    yield "|---|---|---|"
    for one in controls:
        yield f"| {_cell(one.name)} | {_score(one.score)} | {_cell(one.verdict)} |"


def _chosen(chosen: Chosen | None) -> Iterator[str]:
    if chosen is not None:
        yield (
            f"The step was chosen by MRR@10 on the validation split: {chosen.tuned:.4f}, and {chosen.untuned:.4f} "
            "before tuning."
        )


def _score(score: Score | None) -> str:
    if score is None:
        return "not measured"
    if score.low is None or score.high is None:
        return f"{score.mean:.4f}"
    return f"{score.mean:.4f} [{score.low:.4f}, {score.high:.4f}]"


def _data(splits: Sequence[Split]) -> Iterator[str]:
    yield "## Data"
    yield ""
    yield "| split | pairs | queries | documents | SHA-256 |"
    yield "|---|---|---|---|---|"
    for split in splits:
        yield (
            f"| {_cell(split.name)} | {split.pairs:,} | {split.queries:,} | {split.documents:,} | "
            f"`{split.sha256}` |"
        )


def _training(tuned: Tuned, recipe: Mapping[str, Json], versions: Mapping[str, str]) -> Iterator[str]:
    yield "## Training"
    yield ""
    yield "| setting | value |"
    yield "|---|---|"
    for name, value in _flat(recipe):
        yield f"| {_cell(name)} | {_code(json.dumps(value, ensure_ascii=False))} |"
    yield ""
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    yield f"Weights are float32. Made with {_plain(used)}."
    if tuned.method == "qlora":
        yield ""
        yield (
            "The adapters were trained on weights in 4 bits. Those were read back to float32 and the adapters "
            "merged into them, so that the vectors are the ones that were trained."
        )


def _flat(recipe: Mapping[str, Json], above: str = "") -> Iterator[tuple[str, Json]]:
    for name, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value


def _licence(tuned: Tuned) -> Iterator[str]:
    yield "## Licence"
    yield ""
    if tuned.base_licence:
        yield f"The base model's licence, {_code(tuned.base_licence)}, applies to these weights as well."
    else:
        yield f"To be filled in: the licence of {_code(tuned.base)} applies to these weights as well."


def _plain(text: str) -> str:
    """On one line, and no markup."""
    one_line = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in one_line)


def _cell(text: str) -> str:
    return _plain(text).replace("\\_", "_")


def _code(text: str) -> str:
    """As code on one line; a bar would end a table's cell."""
    return "`" + " ".join(text.split()).replace("`", "'").replace("|", "\\|") + "`"
