"""What a tuned encoder says of itself."""

from __future__ import annotations

import tomllib
from typing import Any

import attrs
import yaml

from fusionapp.adapters.huggingface.tuning.model_card import Chosen, Control, Score, Split, Tuned, model_card

TUNED = Tuned(
    name="arxiv",
    base="owner/model",
    base_licence="apache-2.0",
    dim=384,
    max_length=256,
    pooling="mean",
    similarity="cosine",
    query_prefix='ask "it": ',
    document_prefix="",
    bidirectional=False,
    method="lora",
    trainable=1000,
    parameters=100_000,
)
SPLITS = (Split("train", 12345, 2345, 3456, "a" * 64), Split("test", 10, 10, 20, "b" * 64))
SCORES = {"mrr@10": Score(0.7, 0.65, 0.75), "ndcg@10": Score(0.6)}


def card(tuned: Tuned = TUNED, **given: Any) -> str:
    settings: dict[str, Any] = {
        "splits": SPLITS,
        "recipe": {"loss": "infonce", "finetuning": {"rank": 16, "target_modules": ["q|k"]}, "clip": None},
        "scores": SCORES,
        "untuned": {"mrr@10": Score(0.5, 0.45, 0.55)},
        "versions": {"torch": "2.13.0"},
    }
    return model_card(tuned, **(settings | given))


def front_matter(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---")[1])
    return found


def test_the_front_matter_is_the_hubs() -> None:
    assert front_matter(card()) == {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "fusionapp"],
        "base_model": "owner/model",
        "license": "apache-2.0",
    }


def test_a_local_base_is_no_link_and_its_licence_is_left_to_be_filled_in() -> None:
    text = card(attrs.evolve(TUNED, base="mine", base_licence=None))
    assert "base_model" not in front_matter(text)
    assert front_matter(text)["license"] == "other"
    assert "To be filled in: the licence of `mine`" in text


def test_scores_stand_beside_the_untuned_encoders_with_their_intervals() -> None:
    text = card()
    assert "| mrr@10 | 0.7000 [0.6500, 0.7500] | 0.5000 [0.4500, 0.5500] |" in text
    assert "| ndcg@10 | 0.6000 | not measured |" in text


def test_a_card_before_evaluation_claims_nothing() -> None:
    text = card(scores={})
    assert "Not evaluated yet." in text
    assert "| metric |" not in text


def test_controls_stand_with_what_the_encoder_is_beside_them() -> None:
    text = card(controls=[Control("untuned hybrid", Score(0.6, 0.5, 0.7), "not separable")])
    assert "| untuned hybrid | 0.6000 [0.5000, 0.7000] | not separable |" in text
    assert "ranked by" not in card()


def test_what_the_step_was_chosen_by_is_said() -> None:
    assert "validation split: 0.7000, and 0.5000 before tuning" in card(chosen=Chosen(0.5, 0.7))
    assert "chosen by" not in card()


def test_means_over_seeds_are_called_so() -> None:
    assert "the mean of 3 seeds, of which this encoder is one" in card(seeds=3)
    assert "seeds" not in card()


def test_data_are_counted_and_hashed() -> None:
    assert f"| train | 12,345 | 2,345 | 3,456 | `{'a' * 64}` |" in card()


def test_every_setting_that_is_set_is_listed_and_breaks_no_table() -> None:
    text = card()
    assert '| loss | `"infonce"` |' in text
    assert "| finetuning.rank | `16` |" in text
    assert '| finetuning.target_modules | `["q\\|k"]` |' in text
    assert "| clip |" not in text


def test_the_snippets_carry_the_prefixes() -> None:
    text = card()
    toml = tomllib.loads(text.split("```toml\n")[1].split("```")[0])
    assert toml["encoders"]["tuned"]["query_prefix"] == 'ask "it": '
    compile(text.split("```python\n")[1].split("```")[0], "snippet", "exec")


def test_the_share_that_was_trained_is_said() -> None:
    assert "lora: 1,000 of 100,000 numbers trained, 1.00%" in card()


def test_qlora_says_what_was_merged_into_what() -> None:
    assert "read back to float32" in card(attrs.evolve(TUNED, method="qlora"))
    assert "4 bits" not in card()


def test_a_bidirectional_decoder_says_so() -> None:
    assert "is_causal: false" in card(attrs.evolve(TUNED, bidirectional=True))
    assert "is_causal" not in card()


def test_names_are_no_markup() -> None:
    text = card(attrs.evolve(TUNED, name="a\n# b | <script>"))
    assert "# a \\# b \\| \\<script\\>" in text.splitlines()
