"""Disks that fail, and one that loses what nobody synced.

They do what they are asked on the real file system and stand in for `fusionapp.adapters.filesystem.disk.DISK`.
"""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from random import Random
from typing import TypeAlias

import attrs

from fusionapp.adapters.filesystem import disk
from fusionapp.adapters.filesystem.disk import Chunk, Disk


@contextmanager
def mounted(fake: Disk) -> Iterator[None]:
    """Put a disk in the place of the real one."""
    before = disk.DISK
    disk.DISK = fake
    try:
        yield
    finally:
        disk.DISK = before


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow beyond `size` bytes, as a quota would."""
    earlier = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, earlier[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, earlier)


class Stopped(BaseException):
    """The process is no more; not an Exception, so that no cleanup of the tested code takes it for an error."""


Names: TypeAlias = "dict[str, File | Directory]"
"""What stands in a directory."""

Happening: TypeAlias = Callable[[str, str], None]
"""Told of each call and the name of its file, before it is done; raises or exits in its stead."""


class EventfulDisk(Disk):
    """Tells of every call before it is done; syncs nothing for real, so that tests are quick."""

    def __init__(self, happens: Happening) -> None:
        self._happens = happens

    def create(self, path: Path) -> FileIO:
        self._happens("create", path.name)
        return super().create(path)

    def reopen(self, path: Path) -> FileIO:
        self._happens("reopen", path.name)
        return super().reopen(path)

    def write(self, file: FileIO, chunk: Chunk) -> None:
        content = bytes(chunk)
        half = len(content) // 2  # arrives before the disk fails, as on one that becomes full
        super().write(file, content[:half])
        self._happens("write", path_of(file).name)
        super().write(file, content[half:])

    def truncate(self, file: FileIO, size: int) -> None:
        self._happens("truncate", path_of(file).name)
        super().truncate(file, size)

    def sync(self, file: FileIO) -> None:
        self._happens("sync", path_of(file).name)

    def replace(self, source: Path, target: Path) -> None:
        self._happens("replace", target.name)
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._happens("unlink", path.name)
        super().unlink(path)

    def make_directory(self, path: Path) -> None:
        self._happens("make_directory", path.name)
        super().make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self._happens("sync_directory", path.name)


class Countdown:
    """Lets some calls pass; those after that fail, one or all of them."""

    def __init__(self, calls: int, error: Callable[[], BaseException], persistent: bool = True) -> None:
        self.left = calls
        self._error = error
        self._persistent = persistent

    def __call__(self, call: str, name: str) -> None:
        self.left -= 1
        if self.left == -1 or (self.left < -1 and self._persistent):
            raise self._error()


def failure(code: int) -> Callable[[], OSError]:
    """The system's own error of a number."""
    return lambda: OSError(code, os.strerror(code))


def path_of(file: FileIO) -> Path:
    """The path that a file was opened by."""
    return Path(str(file.name))


@attrs.define(eq=False)
class Change:
    """One change of a file's bytes (`chunk` None: it was cut at `offset`), and whether it was synced."""

    offset: int
    chunk: bytes | None
    durable: bool = False
    doomed: bool = False
    """A sync failed on it: the system forgets that it is not on the disk, and no later sync puts it there."""


@attrs.define(eq=False)
class File:
    """A file as the list of all that was done to it."""

    changes: list[Change] = attrs.Factory(list)


@attrs.define(eq=False)
class Directory:
    """Names as they stand on the disk, as processes see them, and the changes in between."""

    durable: Names = attrs.Factory(dict)
    live: Names = attrs.Factory(dict)
    pending: list[Callable[[Names], None]] = attrs.Factory(list)

    def change(self, step: Callable[[Names], None]) -> None:
        """Make a change that is not durable yet."""
        step(self.live)
        self.pending.append(step)


class ForgetfulDisk(Disk):
    """Keeps below `root` what POSIX promises after a power cut, and of the rest as much as chance will have.

    A file's bytes are promised once it was synced, a name once its directory was; a rename is whole or not there.
    Everything else may have happened or not, each by itself, and writes may be torn at any byte or garbled.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir()
        self._root = root
        self._tree = Directory()
        self.happens: Happening = nothing

    def create(self, path: Path) -> FileIO:
        self.happens("create", path.name)
        file = super().create(path)
        self._directory(path.parent).change(_linking(path.name, File()))
        return file

    def reopen(self, path: Path) -> FileIO:
        self.happens("reopen", path.name)
        return super().reopen(path)

    def write(self, file: FileIO, chunk: Chunk) -> None:
        content = bytes(chunk)
        half = len(content) // 2
        change = Change(file.tell(), content[:half])
        self._file(file).changes.append(change)
        super().write(file, content[:half])
        self.happens("write", path_of(file).name)
        super().write(file, content[half:])
        change.chunk = content

    def truncate(self, file: FileIO, size: int) -> None:
        self.happens("truncate", path_of(file).name)
        super().truncate(file, size)
        self._file(file).changes.append(Change(size, None))

    def sync(self, file: FileIO) -> None:
        changes = self._file(file).changes
        try:
            self.happens("sync", path_of(file).name)
        except OSError:
            for change in changes:
                change.doomed = change.doomed or not change.durable
            raise
        for change in changes:
            change.durable = not change.doomed

    def replace(self, source: Path, target: Path) -> None:
        self.happens("replace", target.name)
        super().replace(source, target)
        assert source.parent == target.parent
        directory = self._directory(source.parent)
        directory.change(_renaming(source.name, target.name, directory.live[source.name]))

    def unlink(self, path: Path) -> None:
        self.happens("unlink", path.name)
        super().unlink(path)
        if path.name in self._directory(path.parent).live:
            self._directory(path.parent).change(_removing(path.name))

    def make_directory(self, path: Path) -> None:
        self.happens("make_directory", path.name)
        super().make_directory(path)
        if path.name not in self._directory(path.parent).live:
            self._directory(path.parent).change(_linking(path.name, Directory()))

    def sync_directory(self, path: Path) -> None:
        self.happens("sync_directory", path.name)
        if path.is_relative_to(self._root):
            directory = self._directory(path)
            directory.durable = dict(directory.live)
            directory.pending.clear()

    def lose_power(self, random: Random | None = None) -> None:
        """Put on the real file system what a power cut now may leave, and go on from there.

        Without a `random`, all that is not promised is lost.
        """
        shutil.rmtree(self._root)
        self._tree = _remains(self._tree, self._root, random)

    def remove(self, path: Path) -> None:
        """Remove a directory for good, as people do."""
        shutil.rmtree(path)
        parent = self._directory(path.parent)
        parent.live.pop(path.name)
        parent.durable.pop(path.name, None)
        parent.pending.clear()

    def _directory(self, path: Path) -> Directory:
        found: File | Directory = self._tree
        for part in path.relative_to(self._root).parts:
            assert isinstance(found, Directory)
            found = found.live[part]
        assert isinstance(found, Directory)
        return found

    def _file(self, file: FileIO) -> File:
        path = path_of(file)
        found = self._directory(path.parent).live[path.name]
        assert isinstance(found, File)
        return found


def nothing(call: str, name: str) -> None:
    """Nothing happens."""


def _linking(name: str, what: File | Directory) -> Callable[[Names], None]:
    def link(names: Names) -> None:
        names[name] = what

    return link


def _removing(name: str) -> Callable[[Names], None]:
    def remove(names: Names) -> None:
        names.pop(name, None)

    return remove


def _renaming(source: str, target: str, what: File | Directory) -> Callable[[Names], None]:
    def rename(names: Names) -> None:
        names.pop(source, None)
        names[target] = what

    return rename


def _remains(directory: Directory, path: Path, random: Random | None) -> Directory:
    """What is left of a directory, written to `path`."""
    path.mkdir()
    names = dict(directory.durable)
    chance = random.choice([0.0, 0.5, 1.0]) if random else 0.0
    for step in directory.pending:
        if random and random.random() < chance:
            step(names)
    left: Names = {}
    for name, what in names.items():
        if isinstance(what, Directory):
            left[name] = _remains(what, path / name, random)
        else:
            content = _content(what, random)
            (path / name).write_bytes(content)
            left[name] = File([Change(0, content, durable=True)])
    return Directory(dict(left), left)


def _content(file: File, random: Random | None) -> bytes:
    content = bytearray()
    chance = random.choice([0.0, 0.3, 1.0]) if random else 0.0
    for change in file.changes:
        if change.chunk is None:
            if change.durable or (random and random.random() < chance):
                content = content[: change.offset].ljust(change.offset, b"\0")
            continue
        chunk = change.chunk
        if not change.durable and (random is None or random.random() >= chance):
            chunk = _spoilt(chunk, random) if random else b""
        if chunk:
            content = content.ljust(change.offset, b"\0")
            content[change.offset : change.offset + len(chunk)] = chunk
    return bytes(content)


def _spoilt(chunk: bytes, random: Random) -> bytes:
    """A write that was lost, cut short, or of which a part arrived as something else."""
    start, stop = sorted((random.randint(0, len(chunk)), random.randint(0, len(chunk))))
    return random.choice(
        [
            b"",
            chunk[:stop],
            bytes(len(chunk)),
            chunk[:start] + bytes(stop - start) + chunk[stop:],
            chunk[:start] + random.randbytes(stop - start) + chunk[stop:],
        ]
    )
