"""Pages of results on disk: each whole or not there, so that a killed fetch goes on behind the last."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from fusionapp.adapters.arxiv.api import Page, Paper
from fusionapp.domain.errors import CorruptArtifactError, LockedError, ResourceError, UsageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@attrs.frozen
class PageFolder:
    """The pages of one query.

    Attributes:
        directory: created with the card.
    """

    directory: Path

    def card(self) -> Mapping[str, str] | None:
        """What is fetched here, or None where nothing was."""
        path = self.directory / "query.json"
        if not path.exists():
            return None
        content = _read_json(path)
        if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
            raise CorruptArtifactError(f"{path}: is no card of ours; remove {self.directory} to fetch again")
        return content

    def start(self, card: Mapping[str, str]) -> None:
        """Write down what is fetched here."""
        with disk_errors(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        write_durably(self.directory / "query.json", json.dumps(dict(card)).encode())

    def pages(self) -> Iterator[Page]:
        """The pages that are there, without a gap from the first.

        Raises:
            CorruptArtifactError: one was changed.
        """
        start = 0
        while (path := self._page(start)).exists():
            page = _page_of(_read_json(path), path)
            yield page
            start += page.entries
            if not page.entries:
                return

    def add(self, start: int, page: Page) -> None:
        """Keep a page that starts at result `start`."""
        write_durably(self._page(start), json.dumps(attrs.asdict(page), ensure_ascii=False).encode())

    def _page(self, start: int) -> Path:
        return self.directory / f"page-{start:07}.json"


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Be the one process that fetches into a directory, which is created: two would ask at twice the pace.

    Raises:
        LockedError: another process fetches there.
        UsageError: the place cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(directory / "lock")
    with disk_errors(directory):
        directory.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):  # an OSError, which would be taken for the disk's
            lock.acquire(blocking=False)
    if not lock.is_locked:
        raise LockedError(f"{directory}: another process fetches there; wait until it ends, or stop it")
    try:
        yield
    finally:
        lock.release()


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        ResourceError: the disk is full.
        UsageError: the place cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say what the operating system's refusals mean.

    Raises:
        ResourceError: the disk is full.
        UsageError: the place cannot be written to.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(
                f"{path}: {error.strerror}; free some space and run again to go on"
            ) from error
        raise UsageError(f"{path}: cannot be written: {error.strerror}; choose another --output") from error


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise CorruptArtifactError(
            f"{path}: is not what was written ({error}); remove {path.parent} to fetch again"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error


def _page_of(content: object, path: Path) -> Page:
    try:
        if not isinstance(content, dict):
            raise TypeError("no object")
        papers = [Paper(**paper) for paper in content["papers"]]
        return Page(papers, int(content["entries"]), int(content["total"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptArtifactError(
            f"{path}: is no page of ours ({error}); remove {path.parent} to fetch again"
        ) from error
