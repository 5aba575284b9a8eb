"""Directories in the layout of the BEIR benchmark."""

from fusionapp.adapters.beir.source import BeirSource

__all__ = ["BeirSource"]
