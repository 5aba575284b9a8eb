"""FAISS, imported when it is used, and how many threads it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fusionapp.domain.errors import UsageError


def import_faiss() -> Any:
    """The module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise UsageError(
            "index: the kinds flat, hnsw and ivfpq need FAISS: pip install 'fusionapp[cpu]' or 'fusionapp[gpu]'; "
            "the kind numpy needs nothing"
        ) from error
    return faiss


@contextmanager
def threads(faiss: Any, count: int | None) -> Iterator[None]:
    """Let FAISS use so many threads for a while; None leaves it as it is."""
    if count is None:
        yield
        return
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def on_gpu(faiss: Any, index: Any) -> Any | None:
    """A copy of an index on the first GPU; None where there is none, or it does not take such an index."""
    if getattr(faiss, "get_num_gpus", lambda: 0)() < 1:
        return None
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError:  # too large, or codes of a length that its kernels lack; the CPU takes every one
        return None
