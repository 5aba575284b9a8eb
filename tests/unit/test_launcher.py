"""Who leads, by what a launcher tells each process."""

from __future__ import annotations

import pytest

from fusionapp.adapters.torch_shared.launcher import launched, leads


@pytest.mark.parametrize(
    ("told", "processes", "leading"),
    [
        ({}, 1, True),
        ({"RANK": "1"}, 1, True),
        ({"WORLD_SIZE": "1", "RANK": "0"}, 1, True),
        ({"WORLD_SIZE": "2", "RANK": "0"}, 2, True),
        ({"WORLD_SIZE": "2", "RANK": "1"}, 2, False),
        ({"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "0"}, 4, False),
    ],
)
def test_the_first_of_several_processes_leads(
    told: dict[str, str], processes: int, leading: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert (launched(), leads()) == (processes, leading)
