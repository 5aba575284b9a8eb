"""An encoder holds one model at a time, loads it once, and sends none along."""

from __future__ import annotations

import pickle

import pytest

from fusionapp.adapters.torch_shared.loaded import Loaded


def test_a_model_is_loaded_once_for_each_way_of_loading_it() -> None:
    loaded, calls = Loaded[str](), list[str]()

    def load() -> str:
        calls.append("loaded")
        return f"model {len(calls)}"

    found = [loaded.get(how, load) for how in ("cpu", "cpu", "cuda:0", "cpu")]

    assert found == ["model 1", "model 1", "model 2", "model 3"]


def test_a_model_that_was_freed_is_loaded_anew() -> None:
    loaded = Loaded[str]()
    loaded.get("cpu", lambda: "first")

    loaded.free()

    assert loaded.is_empty
    assert loaded.get("cpu", lambda: "second") == "second"


def test_what_cannot_be_loaded_leaves_nothing_behind() -> None:
    loaded = Loaded[str]()
    loaded.get("cpu", lambda: "first")

    with pytest.raises(ZeroDivisionError):
        loaded.get("cuda:0", lambda: str(1 / 0))

    assert loaded.is_empty


def test_a_model_does_not_travel_to_another_process() -> None:
    loaded = Loaded[str]()
    loaded.get("cpu", lambda: "here")

    there = pickle.loads(pickle.dumps(loaded))

    assert there.is_empty
    assert not loaded.is_empty
