"""A process that writes a set of embeddings and says how far it is: ``store_child.py ROOT ADAPTER SHAPE``."""

from __future__ import annotations

import sys
from pathlib import Path

from store_sets import KEY, KILLED_SHAPES, commit_shard, make_header

from fusionapp.adapters.filesystem.store import FileEmbeddingStore


def main(root: str, adapter: str, shape: str) -> None:
    header = make_header(KILLED_SHAPES[shape], rows=40 * 64, shard_rows=64)
    with FileEmbeddingStore(Path(root), adapter).write(KEY, header) as writer:
        print("locked", flush=True)
        for shard in writer.pending():
            commit_shard(writer, shard)
            print(shard.index, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
