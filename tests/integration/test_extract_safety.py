"""Full disks, second writers, changed inputs, damage of every kind: what `fusionapp` says and what it mends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import attempt, call, flip, refused
from fakes.disks import largest_file
from fakes.watched import watched
from small_job import Job, write_rows
from store_sets import contents
from torture import stored

from fusionapp.adapters.filesystem.lock import exclusive

LEXICAL = ("extract", "tiny.toml", "--encoder", "lexical")
ROWS, SHARD = 90, 16


def set_of(job: Path, encoder: str, split: str = "train") -> Path:
    """The directory of a set."""
    inventory = json.loads((job / "runs/tiny/embeddings.json").read_text())
    return job / "embeddings/npy" / Path(inventory["encoders"][encoder]["sets"][split]["key"]).name


def second_shard(job: Path) -> Path:
    """A file of the second shard of a set of 90 rows by 16."""
    return sorted(set_of(job, "bert").glob("shard-00001*"))[0]


def remove(job: Path) -> int:
    second_shard(job).unlink()
    return SHARD


def shorten(job: Path) -> int:
    second_shard(job).write_bytes(second_shard(job).read_bytes()[:-1])
    return SHARD


def lengthen(job: Path) -> int:
    second_shard(job).write_bytes(second_shard(job).read_bytes() + b"\0")
    return SHARD


def link(job: Path) -> int:
    shard = second_shard(job)
    shard.symlink_to(shard.rename(job / "elsewhere"))
    return SHARD


def tear(job: Path) -> int:
    manifest = set_of(job, "bert") / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-1])
    return ROWS % SHARD


def lose_set(job: Path) -> int:
    for path in set_of(job, "bert").iterdir():
        path.unlink()
    set_of(job, "bert").rmdir()
    return ROWS


DAMAGE = pytest.mark.parametrize("damage", [remove, shorten, lengthen, link, tear, lose_set])


@DAMAGE
def test_status_counts_what_is_durable_after_any_damage(
    job: Path, finished: Job, damage: Callable[[Path], int]
) -> None:
    lost = damage(job)
    status = call(job, "status", "runs/tiny", "--json").json
    before = finished.extracted["encoders"]["bert"]["durable_rows"]
    assert status["encoders"]["bert"]["durable_rows"] == before - lost
    assert not status["complete"]


@DAMAGE
def test_damage_of_any_kind_is_found_and_mended_to_the_same_bytes(
    job: Path, damage: Callable[[Path], int]
) -> None:
    before = stored(job)
    damage(job)
    assert not call(job, "verify", "runs/tiny", "--json", code=3).json["ok"]
    call(job, "extract", "tiny.toml")
    assert stored(job) == before
    assert call(job, "verify", "runs/tiny", "--json").json["ok"]


def test_shards_in_each_others_place_are_found_and_mended(job: Path) -> None:
    before = stored(job)
    first, second = (set_of(job, "bert") / f"shard-0000{index}.npy" for index in (0, 1))
    whole = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(whole)
    found = call(job, "verify", "embeddings", "--json", code=3).json["problems"]
    assert {Path(problem["file"]).name for problem in found} == {first.name, second.name}
    call(job, "extract", "tiny.toml")
    assert stored(job) == before


def test_a_foreign_shard_is_told_and_never_read(job: Path, finished: Job) -> None:
    (set_of(job, "bert") / "shard-00006.npy").write_bytes(second_shard(job).read_bytes())
    [problem] = call(job, "verify", "embeddings", "--json", code=3).json["problems"]
    assert problem["problem"] == "does not belong to the set"
    assert (
        call(job, "status", "runs/tiny", "--json").json["durable_rows"] == finished.extracted["durable_rows"]
    )


@pytest.mark.parametrize("words", [("evaluate", "runs/tiny"), ("export", "embeddings", "runs/tiny")])
def test_a_flipped_bit_never_reaches_who_only_reads(
    job: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    flip(set_of(job, "bert", "test") / "shard-00000.npy")
    if words[0] == "export":
        output = tmp_path / "bert.npy"
        options = ("--encoder", "bert", "--split", "test", "--format", "npy", "--output", output)
        assert "shard-00000.npy" in refused(job, *words, *options, code=3)
        assert not output.exists()
    else:
        (job / "runs/tiny/metrics-test.json").unlink()
        before = stored(job)
        ended = attempt(job, "evaluate", "tiny.toml")
        assert ended.code == 3 or stored(job) != before, "mended or refused"


def test_a_disk_that_becomes_full_is_an_error_of_one_line_and_the_rest_follows(
    fresh: Path, finished: Job
) -> None:
    write_rows(fresh / "train.csv", 600, 3)
    with largest_file(150_000):
        message = refused(fresh, "extract", "tiny.toml", "--set", "storage.shard_rows=512", code=7)
    assert "free some space" in message
    begun = stored(fresh)
    assert begun
    call(fresh, "extract", "tiny.toml", "--set", "storage.shard_rows=512")
    assert {name for name in begun if not name.endswith("manifest.jsonl")} <= set(stored(fresh))
    assert call(fresh, "verify", "runs/tiny", "--json").json["ok"]


def test_a_second_writer_of_a_set_is_refused(job: Path) -> None:
    with exclusive(set_of(job, "lexical")):
        assert "another process is writing here" in refused(job, *LEXICAL, "--output", "other", code=4)


def test_a_changed_text_makes_a_new_set_and_leaves_the_old_one_alone(job: Path) -> None:
    before = stored(job)
    table = job / "train.csv"
    table.write_text(table.read_text().replace("the", "thee", 1))
    again = call(job, *LEXICAL, "--output", "other", "--json").json
    assert again["encoders"]["lexical"]["encoded_rows"] == ROWS
    after = stored(job)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)


def test_changed_weights_make_a_new_set_and_leave_the_old_one_alone(job: Path) -> None:
    before = stored(job)
    from safetensors.torch import load_file, save_file

    path = job / "model/model.safetensors"
    weights = load_file(path)
    weights["embeddings.word_embeddings.weight"][5] += 1
    save_file(weights, path, metadata={"format": "pt"})
    again = call(job, "extract", "tiny.toml", "--encoder", "bert", "--output", "other", "--json").json
    assert again["encoders"]["bert"]["encoded_rows"] > ROWS
    after = stored(job)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("encoders",), []),
        (("encoders", "bert"), None),
        (("encoders", "bert", "dim"), "32"),
        (("encoders", "bert", "sets"), {"elsewhere": {"key": "x"}}),
        (("encoders", "bert", "sets", "train", "key"), 3),
        (("splits",), {"train": 90}),
        (("splits", "train", "rows"), 1e30),
        (("storage", "root"), None),
        (("finished",), "yes"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
@pytest.mark.parametrize("command", ["status", "verify"])
def test_an_inventory_of_another_form_is_corrupt(
    job: Path, command: str, place: tuple[str, ...], value: Any
) -> None:
    spoil(job, place, value)
    (job / "runs/tiny/checksums.jsonl").unlink()  # an attacker could write that, too
    assert attempt(job, command, "runs/tiny").code == 3


@pytest.mark.parametrize("key", ["../../../elsewhere", "/etc", "..", "npy/../../x", ".", ""])
def test_a_key_of_an_inventory_does_not_leave_the_store(job: Path, key: str) -> None:
    secret = job / "elsewhere"
    secret.mkdir()
    (secret / "manifest.jsonl").write_bytes((set_of(job, "bert") / "manifest.jsonl").read_bytes())
    spoil(job, ("encoders", "bert", "sets", "train", "key"), key)
    before = contents(job)
    with watched() as opened:
        for words in (("status", "runs/tiny"), ("verify", "runs/tiny")):
            assert attempt(job, *words).code in (2, 3)
    assert secret not in opened
    assert secret / "manifest.jsonl" not in opened
    assert contents(job) == before


def spoil(job: Path, place: tuple[str, ...], value: Any) -> None:
    path = job / "runs/tiny/embeddings.json"
    inventory = json.loads(path.read_text())
    parent = inventory
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = value
    path.write_text(json.dumps(inventory))
