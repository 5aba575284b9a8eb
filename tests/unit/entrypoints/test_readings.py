"""What stands under a leaderboard."""

from __future__ import annotations

from typing import Any

import pytest

from fusionapp.application.services.evaluate_classifier import Evaluation
from fusionapp.entrypoints.reports import leaderboard_markdown, reading

PROTOCOLS: dict[str, dict[str, Any] | None] = {
    "single split": None,
    "folds": {"kind": "folds", "folds": 3, "pool": "train", "pool_rows": 90},
    "draws": {"kind": "shots", "draws": 4, "shots": 8, "pool": "train"},
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_a_leaderboard_says_that_its_intervals_are_not_corrected_and_its_verdicts_are(
    protocol: dict[str, Any] | None,
) -> None:
    evaluation = Evaluation("test", 30, 0, {}, {}, {}, {}, {}, [], protocol)
    sentence = "The intervals are not corrected by Holm, the verdicts are"
    assert sentence in reading(evaluation)
    assert sentence in leaderboard_markdown(evaluation)
