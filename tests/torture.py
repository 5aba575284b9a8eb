"""Killing real `fusionapp extract` processes at random, and flipping random bits of what they wrote."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic, sleep

import attrs
from command_line import finish, start
from process_tree import descendants, kill, seconds_until_gone, workers
from store_sets import contents

from fusionapp.entrypoints import inspection


@attrs.define
class Tally:
    """What happened.

    Attributes:
        kills: processes that were killed.
        before_work: of these, the ones that had not written anything.
        jobs: extractions that ran to their end, each to the expected bytes.
        workers: worker processes that were killed while the command went on.
    """

    kills: int = 0
    workers: int = 0
    before_work: int = 0
    jobs: list[int] = attrs.Factory(list)


def stored(directory: Path) -> dict[str, bytes]:
    """Every file under the storage root but the locks."""
    found = contents(directory / "embeddings")
    return {name: content for name, content in found.items() if not name.endswith(".lock")}


def kill_at_random(
    directory: Path,
    words: Sequence[str],
    kills: int,
    expected: dict[str, bytes],
    random: Random,
    worker_kills: int = 0,
) -> Tally:
    """Run the command again and again, killing it `kills` times; whenever it gets through, compare and begin anew.

    Some are killed while they start or read, most while they write. At the end one job is left to run through.
    On the way worker processes are killed, too, one or two of a command's.
    """
    tally = Tally()
    survived = 0
    while tally.kills < kills or survived:
        process = start(directory, *words)
        for _ in range(min(random.randint(1, 2), worker_kills - tally.workers)):
            _wait(directory, process.poll, random)
            found = workers(process.pid)
            tally.workers += bool(found) and kill(random.choice(found))
        family: set[int] = set()
        if tally.kills < kills:
            wrote = _wait(directory, process.poll, random)
            family = descendants(process.pid)
            process.kill()
        ended = finish(process)
        seconds_until_gone(family, limit=5)
        if ended.code == -9:
            tally.kills, survived = tally.kills + 1, survived + 1
            tally.before_work += not wrote
            _assert_undamaged(directory)
            continue
        assert ended.code == 0, ended.err
        assert stored(directory) == expected
        tally.jobs.append(survived)
        survived = 0
        for name in ("embeddings", "runs"):
            shutil.rmtree(directory / name)
    return tally


def _wait(directory: Path, poll: object, random: Random) -> bool:
    """Until a random moment; returns whether the process had begun to write."""
    before = _written(directory)
    if random.random() < 0.1:
        sleep(random.random() * 2)
        return _written(directory) != before
    deadline = monotonic() + 60
    while _written(directory) == before and callable(poll) and poll() is None:
        assert monotonic() < deadline, "the process neither writes nor ends"
        sleep(0.002)
    sleep(random.random() ** 2 * 0.6)
    return True


def _written(directory: Path) -> int:
    """How many bytes stand in the store's manifests, as a measure of progress."""
    return sum(path.stat().st_size for path in (directory / "embeddings").rglob("manifest.jsonl"))


def _assert_undamaged(directory: Path) -> None:
    root = directory / "embeddings"
    if any(root.glob("*")):
        problems = inspection.verify(root)
        assert all("torn" in problem.problem for problem in problems), problems


@attrs.frozen
class Flip:
    """One bit of one file."""

    name: str
    position: int
    bit: int

    def apply(self, directory: Path) -> None:
        """Turn it over; twice is not at all."""
        path = directory / self.name
        content = bytearray(path.read_bytes())
        content[self.position] ^= 1 << self.bit
        path.write_bytes(content)


def random_flips(files: dict[str, bytes], count: int, random: Random) -> list[Flip]:
    """Bits of files chosen alternately each alike, so that small files get their share, and by their size."""
    filled = {name: len(content) for name, content in files.items() if content}
    flips = []
    for number in range(count):
        weights = None if number % 2 else list(filled.values())
        [name] = random.choices(list(filled), weights)
        flips.append(Flip(name, random.randrange(filled[name]), random.randrange(8)))
    return flips
