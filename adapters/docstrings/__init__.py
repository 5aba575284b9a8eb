"""A labelled dataset on every machine: the docstrings of the installed Python packages."""

from fusionapp.adapters.docstrings.source import DocstringSource

__all__ = ["DocstringSource"]
