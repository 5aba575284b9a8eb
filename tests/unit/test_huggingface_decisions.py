from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from fusionapp.adapters.huggingface.decisions import Decisions, Wishes, decide
from fusionapp.adapters.huggingface.rules import resolve_layers
from fusionapp.domain.catalogue import EncoderCard
from fusionapp.domain.errors import CorruptArtifactError, UsageError

BERT = {
    "model_type": "bert",
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "max_position_embeddings": 512,
    "architectures": ["BertModel"],
}


def write(directory: Path, config: dict[str, Any], **files: Any) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def write_sentence(directory: Path, pooling: dict[str, Any], *more: str, **files: Any) -> Path:
    kinds = ["Transformer", "Pooling", *more]
    modules = [
        {"type": f"sentence_transformers.models.{kind}", "path": f"{i}_{kind}" if i else ""}
        for i, kind in enumerate(kinds)
    ]
    write(directory, BERT, modules=modules, **files)
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return directory


def decided(directory: Path, card: EncoderCard | None = None, **wishes: Any) -> Decisions:
    return decide(directory, card, Wishes(**wishes))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": False}, "last"),
        ({"embedding_dimension": 32, "pooling_mode": "cls"}, "cls"),
        ({"embedding_dimension": 32, "pooling_mode": ["lasttoken"]}, "last"),
        ({"pooling_mode": "cls", "pooling_mode_mean_tokens": True}, "cls"),
        ({"word_embedding_dimension": 32}, "mean"),
    ],
)
def test_pooling_is_read_from_both_layouts_of_sentence_transformers(
    tmp_path: Path, pooling: dict[str, Any], expected: str
) -> None:
    found = decided(write_sentence(tmp_path / "model", pooling))

    assert found.pooling == expected
    assert any("sentence-transformers configuration" in reason for reason in found.reasons)


def test_length_lower_case_normalisation_and_prompt_are_read_from_sentence_transformers(
    tmp_path: Path,
) -> None:
    directory = write_sentence(
        tmp_path / "model",
        {"pooling_mode": "mean", "include_prompt": False},
        "Normalize",
        sentence_bert_config={"max_seq_length": 128, "do_lower_case": True},
        config_sentence_transformers={"prompts": {"query": "find: "}, "default_prompt_name": "query"},
    )

    found = decided(directory)

    assert (found.max_length, found.lower_case, found.normalize) == (128, True, True)
    assert (found.prefix, found.pool_prefix) == ("find: ", False)


@pytest.mark.parametrize(
    ("pooling", "module", "named"),
    [
        ({"pooling_mode": "mean"}, "Dense", "Dense module"),
        ({"pooling_mode": "max"}, "Normalize", "max pooling"),
        ({"pooling_mode": ["cls", "mean"]}, "Normalize", r"cls \+ mean pooling"),
    ],
)
def test_what_is_not_followed_is_refused_with_the_way_out(
    tmp_path: Path, pooling: dict[str, Any], module: str, named: str
) -> None:
    directory = write_sentence(tmp_path / "model", pooling, module)

    with pytest.raises(UsageError, match=f"{named}.*set pooling"):
        decided(directory)
    assert decided(directory, pooling="mean").pooling == "mean"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "llama"}, "last"),
        ({"model_type": "qwen2"}, "last"),
        ({"model_type": "bert"}, "mean"),
        ({"model_type": "modernbert"}, "mean"),
        ({"model_type": "roberta", "architectures": ["RobertaForSequenceClassification"]}, "cls"),
    ],
)
def test_without_a_configuration_the_architecture_decides(
    tmp_path: Path, config: dict[str, Any], expected: str
) -> None:
    assert decided(write(tmp_path / "model", BERT | config)).pooling == expected


def test_where_nothing_decides_the_mean_is_taken_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = write(tmp_path / "model", BERT | {"model_type": "vit"})

    with caplog.at_level(logging.WARNING, logger="fusionapp"):
        assert decided(directory).pooling == "mean"

    assert "neither the files nor the architecture (vit)" in caplog.text


def test_a_wish_beats_the_model_and_the_model_beats_its_card(tmp_path: Path) -> None:
    directory = write_sentence(tmp_path / "model", {"pooling_mode": "cls"})
    card = EncoderCard("x", "a/x", 32, "last", 99, prefix="card: ", normalize=True)

    by_model = decided(directory, card)
    by_wish = decided(directory, card, pooling="mean", prefix="", max_length=7, normalize=True)

    assert (by_model.pooling, by_model.prefix, by_model.max_length) == ("cls", "card: ", 99)
    assert not by_model.normalize
    assert (by_wish.pooling, by_wish.prefix, by_wish.max_length) == ("mean", "", 7)
    assert by_wish.normalize


def test_the_max_length_never_exceeds_the_positions(tmp_path: Path) -> None:
    roberta = BERT | {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}
    directory = write(tmp_path / "model", roberta, tokenizer_config={"model_max_length": int(1e30)})

    assert decided(directory).max_length == 512
    with pytest.raises(UsageError, match="513 is more than the 512 positions"):
        decided(directory, max_length=513)


@pytest.mark.parametrize(
    ("asked", "resolved"),
    [((-1,), (4,)), ((0, -5), None), ((-2, 1), (3, 1)), ("all", (1, 2, 3, 4)), ((0, 4), (0, 4))],
)
def test_layers_count_from_either_end(asked: Any, resolved: tuple[int, ...] | None) -> None:
    if resolved is None:
        with pytest.raises(UsageError, match="none twice"):
            resolve_layers(asked, 4)
    else:
        assert resolve_layers(asked, 4) == resolved


@pytest.mark.parametrize("asked", [(5,), (-6,), ()])
def test_layers_that_are_not_there_are_refused(asked: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="layers:"):
        resolve_layers(asked, 4)


@pytest.mark.parametrize(
    ("wishes", "named"),
    [
        ({"pooling": "max"}, "pooling: 'max'"),
        ({"pooling": "latent_attention"}, "NV-Embed"),
        ({"padding_side": "top"}, "padding_side: 'top'"),
        ({"max_length": 0}, "max_length: 0"),
    ],
)
def test_impossible_wishes_are_refused(tmp_path: Path, wishes: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        decided(write(tmp_path / "model", BERT), **wishes)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"model_type": "x"}, "neither layers nor hidden size"),
        (BERT | {"is_encoder_decoder": True}, "encoder-decoder"),
        (BERT | {"attn_implementation": "someone/kernel"}, "someone/kernel"),
        (BERT | {"sub": {"_attn_implementation": "someone/kernel"}}, "someone/kernel"),
    ],
)
def test_configurations_that_cannot_or_must_not_be_run_are_refused(
    tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named):
        decided(write(tmp_path / "model", config))


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        decided(tmp_path)


def test_an_adapter_without_its_base_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model", BERT, adapter_config={})

    with pytest.raises(UsageError, match="PEFT adapter"):
        decided(tmp_path / "model")


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")

    with pytest.raises(CorruptArtifactError, match=r"config\.json: not JSON"):
        decided(tmp_path)


def test_a_module_that_points_out_of_the_model_is_not_followed(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Pooling", "path": "../elsewhere"}]
    write(tmp_path, BERT, modules=modules)
    with pytest.raises(CorruptArtifactError, match="outside of the model"):
        decided(tmp_path)
