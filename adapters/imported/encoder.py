"""An encoder that is a matrix for each split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from hashlib import file_digest, sha256
from pathlib import Path

from fusionapp.adapters.imported.arrays import open_npy, open_pt, open_safetensors
from fusionapp.adapters.imported.matrix import Matrix
from fusionapp.adapters.imported.tables import open_parquet, open_saved_dataset
from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.imported_vectors import SplitVectors, VectorsBySplit
from fusionapp.domain.embeddings import Dense, EmbeddingShape, Encoding, ExecutionPlan, Json
from fusionapp.domain.errors import UsageError

FORMATS: Mapping[str, Callable[[Path], Matrix]] = {
    ".npy": open_npy,
    ".pt": open_pt,
    ".pth": open_pt,
    ".safetensors": open_safetensors,
    ".parquet": lambda path: open_parquet([path], path),
}


class ImportedSplit(SplitVectors):
    """One file's vectors; the file is opened when its shape or rows are asked for."""

    def __init__(self, path: Path, model: str | None) -> None:
        """`model` names what is said to have made the vectors."""
        self._path = path
        self._model = model

    @property
    def identity(self) -> Mapping[str, Json]:
        """The file's SHA-256, and the declared model."""
        return {"adapter": "imported", "model": self._model, "sha256": hash_source(self._path)}

    @property
    def shape(self) -> EmbeddingShape:
        """As the file's header says."""
        return EmbeddingShape(self._matrix.layers, self._matrix.dim)

    @property
    def rows(self) -> int:
        """As the file's header says."""
        return self._matrix.rows

    @property
    def origin(self) -> str:
        """The path."""
        return str(self._path)

    def plan(self, rows: int) -> ExecutionPlan:
        """Nothing is computed."""
        return ExecutionPlan()

    def read(self, ranges: Sequence[tuple[int, int]]) -> Iterator[Dense]:
        """See `SplitVectors.read`."""
        return self._matrix.read(ranges)

    @cached_property
    def _matrix(self) -> Matrix:
        return open_matrix(self._path)


class ImportedEncoder(Encoder, VectorsBySplit):
    """Vectors that were made elsewhere, a file a split; it has no model and encodes no text.

    Row i of a split's file is the embedding of text i of that split. A file is known by its SHA-256, so that a
    changed one is another encoder. Files are mapped or streamed, never unpickled.
    """

    def __init__(self, files: Mapping[str, str], model: str | None = None) -> None:
        """Name a file for each split.

        Args:
            files: by split: .pt (torch.save of a tensor), .npy, .safetensors or .parquet, or a directory of
                .parquet files or of `datasets`; (rows, dim) or (rows, layers, dim) of any floating-point type.
            model: what is said to have made the vectors; a part of their identity.
        """
        self._splits = {split: ImportedSplit(Path(file), model) for split, file in files.items()}
        self._model = model

    @property
    def identity(self) -> Mapping[str, Json]:
        """Every file's SHA-256, and the declared model."""
        hashes = {split: vectors.identity["sha256"] for split, vectors in self._splits.items()}
        return {"adapter": "imported", "model": self._model, "sha256": hashes}

    @property
    def shape(self) -> EmbeddingShape:
        """The shape that all files have.

        Raises:
            UsageError: they have different ones.
        """
        shapes = {vectors.origin: vectors.shape for vectors in self._splits.values()}
        if len(set(shapes.values())) > 1:
            said = "; ".join(f"{origin} ({one.layers}, {one.dim})" for origin, one in shapes.items())
            raise UsageError(
                f"imported rows of different shapes: {said}; name files of one model and its layers"
            )
        return next(iter(shapes.values()))

    @property
    def choices(self) -> Sequence[str]:
        """What is imported from where."""
        files = (f"{split}: imported from {vectors.origin}" for split, vectors in self._splits.items())
        return (f"model: none; vectors of {self._model or 'an unnamed model'} were imported", *files)

    def of_split(self, split: str) -> ImportedSplit:
        """See `VectorsBySplit.of_split`."""
        if split not in self._splits:
            raise UsageError(
                f"no matrix is named for split {split!r} beside {', '.join(self._splits)}; name one under the "
                "encoder's table, or take that split out of the dataset"
            )
        return self._splits[split]

    def plan(self, rows: int) -> ExecutionPlan:
        """Nothing is computed."""
        return ExecutionPlan()

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """No token is encoded."""
        return [0] * len(texts)

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        """Refuse.

        Raises:
            UsageError: always; there is no model.
        """
        raise UsageError(
            f"the embeddings of {self._model or 'an encoder'} were imported, and there is no model to embed new "
            "texts with; name the model itself as an encoder and train again"
        )

    def close(self) -> None:
        """Do nothing: there are no weights."""


def open_matrix(path: Path) -> Matrix:
    """The matrix in a file or directory, by its suffix.

    Raises:
        UsageError: there is none, or its format is not known or not what its suffix says.
    """
    if path.is_dir():
        return open_saved_dataset(path) if _is_saved(path) else open_parquet(_parts(path), path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"{path}: embeddings are imported from {', '.join(FORMATS)} and directories of Parquet or `datasets`"
        )
    if not path.is_file():
        raise UsageError(f"{path}: no such file of embeddings")
    return FORMATS[path.suffix.lower()](path)


def hash_source(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file, or of every file of a directory with its name.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if not path.is_dir():
            return _hash_file(path)
        digest = sha256()
        for part in _parts(path):
            digest.update(f"{part.name} {_hash_file(part)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read: {error.strerror}; restore the file of embeddings"
        ) from error


def _hash_file(path: Path) -> str:
    about = path.stat()
    return _hash_as_of(path, about.st_size, about.st_mtime_ns, about.st_ino)


@lru_cache(maxsize=256)
def _hash_as_of(path: Path, size: int, changed: int, inode: int) -> str:
    """Hashed once a process: every command asks for the identity several times."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _is_saved(directory: Path) -> bool:
    return (directory / "state.json").exists() or (directory / "dataset_dict.json").exists()


def _parts(directory: Path) -> list[Path]:
    names = ("*.arrow", "state.json") if _is_saved(directory) else ("*.parquet",)
    found = sorted(path for name in names for path in directory.glob(name))
    if not found:
        raise UsageError(f"{directory}: holds neither .parquet files nor what `datasets` saved")
    return found
