"""Bars are for people; everybody else sees none."""

from __future__ import annotations

import pytest

from fusionapp.adapters.console.progress import RichProgress, SilentProgress, choose_progress


def test_where_nobody_watches_there_are_no_bars() -> None:
    assert isinstance(choose_progress(quiet=False), SilentProgress)
    assert isinstance(choose_progress(quiet=True), SilentProgress)


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with SilentProgress().task("encode", 3, "texts") as task:
        task.advance(3, tokens=9)
    assert capsys.readouterr() == ("", "")


def test_bars_stand_on_stderr_with_what_was_done_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with RichProgress().task("encode train", 10, "texts", done=4) as task:
        task.advance(6, tokens=60, padding=1.02)
    output, shown = capsys.readouterr()
    assert output == ""
    assert "encode train" in shown
    assert "10/10" in shown
    assert "tokens/s" in shown
    assert "padding 1.02" in shown


def test_a_bar_within_a_bar_is_gone_when_it_ends(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    progress = RichProgress()
    with progress.task("search", 2, "trials") as outer:
        with progress.task("train heads", 7, "epochs") as inner:
            inner.advance(7)
        outer.advance(2)
    with progress.task("evaluate", 1, "rows") as later:
        later.advance(1)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert [line.split()[0] for line in lines] == ["search", "evaluate"]
    assert "2/2" in lines[0]
