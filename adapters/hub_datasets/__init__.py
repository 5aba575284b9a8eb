"""Datasets of the `datasets` library: saved directories and hub names."""

from fusionapp.adapters.hub_datasets.answers import HubAnswerSource
from fusionapp.adapters.hub_datasets.pairs import HubPairSource
from fusionapp.adapters.hub_datasets.source import HubDatasetSource

__all__ = ["HubAnswerSource", "HubDatasetSource", "HubPairSource"]
