"""Datasets in files: CSV, TSV, JSON lines (each gzipped too) and Parquet, read as streams."""

from fusionapp.adapters.files.answers import FileAnswerSource
from fusionapp.adapters.files.class_names import read_class_names
from fusionapp.adapters.files.pairs import FilePairSource
from fusionapp.adapters.files.prices import read_prices
from fusionapp.adapters.files.prompts import read_prompts
from fusionapp.adapters.files.source import FileDatasetSource

__all__ = [
    "FileAnswerSource",
    "FileDatasetSource",
    "FilePairSource",
    "read_class_names",
    "read_prices",
    "read_prompts",
]
