"""An experiment survives being written down, whatever its values."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints

import attrs
from hypothesis import given, settings, strategies as st

from fusionapp.domain.fusion.spec import FusionKind, FusionSpec
from fusionapp.domain.recipe import TrainingRecipe
from fusionapp.entrypoints.experiment.encoder_tables import (
    HuggingFaceSettings,
    ImportedSettings,
    LexicalSettings,
    OnnxSettings,
    OpenAISettings,
    SentenceTransformersSettings,
)
from fusionapp.entrypoints.experiment.schema import (
    STORES,
    DatasetSettings,
    EvaluateSettings,
    Experiment,
    StorageSettings,
)
from fusionapp.entrypoints.experiment.structure import structure, unstructure

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SHARE = st.floats(0, 0.99)


def literal(kind: type, name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(get_args(get_type_hints(kind)[name]))


DATASETS = st.builds(
    DatasetSettings,
    train=TEXT | st.tuples(TEXT, TEXT),
    test=st.none() | TEXT,
    text=TEXT,
    label=TEXT,
    id=st.lists(TEXT, max_size=2).map(tuple),
    class_names=st.none() | TEXT | st.tuples(TEXT, TEXT),
    drop_duplicates=st.booleans(),
)
TRANSFORMERS = st.builds(
    HuggingFaceSettings,
    model=TEXT,
    layers=st.just("all") | st.lists(st.integers(-40, 40), min_size=1, max_size=4).map(tuple),
    pooling=literal(HuggingFaceSettings, "pooling"),
    prefix=st.none() | TEXT,
    max_length=st.none() | st.integers(1, 9999),
    normalize=st.none() | st.booleans(),
)
LEXICALS = st.builds(
    LexicalSettings,
    adapter=st.just("lexical"),
    dim=st.integers(1, 20).map(lambda power: 2**power),
    word_ngrams=st.tuples(st.just(1), st.integers(1, 3)),
)
SERVED = st.builds(
    OpenAISettings,
    adapter=st.just("openai"),
    model=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    base_url=st.sampled_from(["https://example.org/v1", "http://localhost:8080/v1"]),
    api_key_env=st.none() | st.just("SERVER_KEY"),
    dim=st.none() | st.integers(1, 9999),
    normalize=st.none() | st.booleans(),
    timeout=st.floats(0.1, 999),
)
PIPELINES = st.builds(
    SentenceTransformersSettings,
    adapter=st.just("sentence_transformers"),
    model=NAMES,
    prefix=st.none() | TEXT,
    normalize=st.booleans(),
)
GRAPHS = st.builds(
    OnnxSettings, adapter=st.just("onnx"), model=NAMES, batch_tokens=st.none() | st.integers(1, 99)
)
IMPORTS = st.builds(ImportedSettings, adapter=st.just("imported"), train=NAMES, model=st.none() | TEXT)
UNLIKE_RESIDUAL = ("concat", "all_features", "late")
ENCODERS = TRANSFORMERS | PIPELINES | GRAPHS | SERVED | LEXICALS | IMPORTS
FUSIONS = st.sampled_from([kind for kind in get_args(FusionKind) if kind not in UNLIKE_RESIDUAL])
EXPERIMENTS = st.builds(
    Experiment,
    name=NAMES,
    seed=st.integers(0, 2**31),
    dataset=DATASETS,
    encoders=st.dictionaries(NAMES, ENCODERS, min_size=1, max_size=3),
    storage=st.builds(StorageSettings, adapter=st.sampled_from(STORES), root=TEXT),
    fusion=st.builds(FusionSpec, kind=FUSIONS, residual=st.booleans(), sigma=st.floats(0.1, 9)),
    train=st.builds(
        TrainingRecipe,
        seeds=st.integers(1, 99),
        dropout=SHARE,
        hidden_dims=st.lists(st.integers(1, 4096), max_size=3).map(tuple),
        optimizer=literal(TrainingRecipe, "optimizer"),
    ),
    evaluate=st.builds(EvaluateSettings, costs=st.lists(st.floats(0.01, 9), min_size=1).map(tuple)),
)


@given(EXPERIMENTS)
@settings(max_examples=60, deadline=None)
def test_structuring_what_was_unstructured_gives_the_same_experiment(experiment: Experiment) -> None:
    plain = unstructure(experiment)
    again = structure(json.loads(json.dumps(plain)))
    assert again == experiment
    assert list(again.encoders) == list(experiment.encoders)


@given(EXPERIMENTS)
@settings(max_examples=20, deadline=None)
def test_the_written_experiment_names_every_key(experiment: Experiment) -> None:
    plain = unstructure(experiment)
    assert list(plain) == [field.name for field in attrs.fields(Experiment)]
    assert list(plain["train"]) == [field.name for field in attrs.fields(TrainingRecipe)]
