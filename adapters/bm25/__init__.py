"""BM25 by bm25s."""
