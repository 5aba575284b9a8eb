"""Opening a file, gzipped or not, with every failure said in one line."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from fusionapp.domain.columns import Place
from fusionapp.domain.errors import DatasetError

# Bytes that are not UTF-8 are read as these lone surrogates, so that their row and column can be named.
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, unzipped where its name ends in .gz; failures while reading become DatasetErrors too.

    Raises:
        DatasetError: missing, a directory, not readable, or a damaged gzip file.
    """
    check_file(path)
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            yield cast("BinaryIO", stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DatasetError(f"{path}: damaged gzip file ({error}); copy or download it again") from error
    except OSError as error:
        raise unreadable(path, error) from error


def check_file(path: Path) -> None:
    """Refuse what is no file.

    Raises:
        DatasetError: missing, or a directory.
    """
    try:
        if path.is_dir():
            raise DatasetError(
                f"{path}: is a directory; name the file, or a list of files. A directory that "
                'DatasetDict.save_to_disk wrote is read with dataset.source = "huggingface"'
            )
        if not path.exists():
            raise DatasetError(
                f"{path}: no such file; relative paths start from the working directory, {Path.cwd()}"
            )
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> DatasetError:
    """The error for a file that the system will not read."""
    return DatasetError(f"{path}: cannot be read ({error.strerror or error}); check its permissions")


def find_bad_byte(text: str) -> int | None:
    """The first byte that was not UTF-8 in text decoded with errors="surrogateescape", or None."""
    if text.isascii():
        return None
    found = _ESCAPED_BYTE.search(text)
    return None if found is None else ord(found[0]) - 0xDC00


def not_utf8(place: Place, byte: int, column: str | None = None) -> DatasetError:
    """The error for a byte that is not UTF-8, with the way out."""
    return place.error(
        f"byte 0x{byte:02x} is not UTF-8; save the file as UTF-8"
        " (for Windows or Latin-1 text: iconv -f WINDOWS-1252 -t UTF-8 IN > OUT)",
        column,
    )
