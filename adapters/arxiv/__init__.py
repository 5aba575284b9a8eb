"""Papers of arXiv: titles and abstracts as pairs, from files that `fetch` wrote, and the fetching itself."""

from fusionapp.adapters.arxiv.source import ArxivSource

__all__ = ["ArxivSource"]
