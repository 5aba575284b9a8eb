"""Whether memory stays flat however many rows are extracted.

    python benchmarks/memory_ceiling.py [--rows 1000000] [--allowed-mib 64] [--output FILE]

Writes a file of generated texts, extracts it through the service that `fusionapp extract` runs (file source,
spool, lexical encoder, local executor, npy store, `embeddings.json`), and watches the process's anonymous memory
(`RssAnon`: what it allocated; mapped files, which the system may drop at any time, are left out). Ends with exit
code 1 where that memory grows by more than is allowed between a fifth of the rows and the end of the call, what
comes after the last row included.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event, Thread
from time import perf_counter
from typing import Any

import attrs
import numpy as np
from result_file import save_result

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.adapters.files.source import FileDatasetSource
from fusionapp.adapters.filesystem.run_directory import RunDirectory
from fusionapp.adapters.filesystem.spool import ArrowSpool
from fusionapp.adapters.filesystem.store import FileEmbeddingStore
from fusionapp.adapters.lexical.encoder import LexicalEncoder
from fusionapp.application.services.extract_dataset import ExtractDataset
from fusionapp.application.services.extract_embeddings import ExtractEmbeddings
from fusionapp.application.services.read_splits import ReadSplits

MIB = 2**20
SHARES = (0.1, 0.2, 0.5, 1.0)
WORDS = 12
"""Of a generated text."""


def anonymous_memory() -> int:
    """Bytes that this process has allocated and that stand in memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


@attrs.define
class MemoryWatch:
    """A `Progress`, and its one task, that looks at memory whenever rows are done, and ten times a second.

    Attributes:
        seen: (rows done, bytes), in order of time.
        encoded: when the last row was done, as a place in `seen`.
    """

    seen: list[tuple[int, int]] = attrs.field(factory=list)
    encoded: int = 0
    rows: int = 0

    @contextmanager
    def task(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[MemoryWatch]:
        yield self
        self.encoded = len(self.seen)

    def advance(self, amount: int, **rates: float) -> None:
        self.rows += amount
        self.look()

    def look(self) -> None:
        self.seen.append((self.rows, anonymous_memory()))

    @contextmanager
    def looking(self, seconds: float = 0.1) -> Iterator[None]:
        """Look from time to time, so that what comes before the first row and after the last is seen."""
        over = Event()

        def look() -> None:
            while not over.wait(seconds):
                self.look()

        thread = Thread(target=look)
        self.look()
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()

    def report(self, total: int) -> dict[str, Any]:
        """MiB at shares of the rows, the most from a fifth of them on, and the slope in bytes a row."""
        rows, memory = np.array(self.seen, dtype=np.float64).T
        at = {share: memory[np.searchsorted(rows, share * total)] for share in SHARES}
        later = rows >= 0.2 * total
        within = later & (np.arange(len(rows)) < self.encoded)
        slope = np.polyfit(rows[within], memory[within], 1)[0] if np.ptp(rows[within]) else 0.0
        return {
            "start_mib": memory[0] / MIB,
            "reading_mib": memory[rows == 0].max() / MIB,
            **{f"at_{share:.0%}_mib": found / MIB for share, found in at.items()},
            "peak_mib": memory.max() / MIB,
            "after_last_row_mib": memory[self.encoded - 1 :].max() / MIB,
            "growth_mib": (memory[later].max() - at[0.2]) / MIB,
            "slope_bytes_a_row": slope,
        }


def write_texts(path: Path, rows: int, seed: int = 0) -> None:
    """Generated texts as JSON lines, each a text of its own, with a label."""
    random = Random(seed)
    vocabulary = ["".join(random.choices("etaoinshrdlu", k=random.randint(2, 9))) for _ in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for row in range(rows):
            words = " ".join(random.choices(vocabulary, k=WORDS))
            file.write(f'{{"text": "{row} {words}", "label": "{row % 27}"}}\n')


def measure(rows: int, directory: Path) -> dict[str, Any]:
    """Extract so many rows below a directory; what memory did meanwhile."""
    path = directory / "texts.jsonl"
    write_texts(path, rows)
    watch = MemoryWatch()
    read = ReadSplits(FileDatasetSource({"train": path}), ArrowSpool(directory / "spool"), "text")
    store = FileEmbeddingStore(directory / "embeddings", "npy")
    service = ExtractDataset(
        read, ExtractEmbeddings(store, LocalExecutor(), watch), RunDirectory(directory / "run")
    )
    # What is imported, built or grown once is there before the first look.
    few = LexicalEncoder().encode([f"{row} text" for row in range(4096)], LexicalEncoder().plan(rows))
    del few
    start = perf_counter()
    with watch.looking():
        extraction = service({"lexical": LexicalEncoder()}, {"adapter": "npy"}, shard_rows=2048)
    found = extraction.sets["lexical"][0]
    seconds = perf_counter() - start
    assert found.status.complete
    assert found.status.durable_rows == rows
    return {"rows": rows, "seconds": seconds, "rows_per_second": rows / seconds, **watch.report(rows)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--allowed-mib", type=float, default=64.0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="memory-ceiling-") as directory:
        result = measure(arguments.rows, Path(directory))
    settings = {"rows": arguments.rows, "allowed_mib": arguments.allowed_mib}
    path = save_result("memory_ceiling", settings, [result], "cpu", arguments.output)
    print(path.read_text(encoding="utf-8"))
    if result["growth_mib"] > arguments.allowed_mib:
        sys.exit(f"memory grew by {result['growth_mib']:.0f} MiB, more than {arguments.allowed_mib:.0f}")


if __name__ == "__main__":
    main()
