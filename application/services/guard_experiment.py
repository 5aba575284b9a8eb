"""Refuse to run a changed experiment under a name that holds another one's results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.extract_dataset import INVENTORY
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError

RESOLVED = "experiment.json"
EXTRACTED = ("task", "dataset", "encoders", "storage")
TRAINED = ("seed", "fusion", "train")
HEADS = ("models/trained.json", "protocol/trained.json")
HARMLESS = ("device", "batch_tokens", "batch_size")
"""Keys that change how something is computed, not what."""


@attrs.frozen
class GuardExperiment:
    """Keeps a run directory to one experiment.

    Attributes:
        runs: the run directory, which receives the resolved experiment.
    """

    runs: RunStore

    def __call__(self, resolved: Mapping[str, Json], overwrite: bool) -> None:
        """Write the resolved experiment down, unless an earlier one stands in the way.

        What was extracted fixes dataset, encoders and storage; what was trained fixes seed, fusion and
        training too. `[evaluate]` may always change, and everything while nothing came of it (a misspelt model).

        Raises:
            UsageError: names every key that differs.
        """
        changed = [] if overwrite else self.changed(resolved)
        if changed:
            raise UsageError(
                f"{self.runs.directory} holds another experiment (changed: {', '.join(changed)}); "
                "choose another `name` or --output, or give --overwrite to replace it"
            )
        if self.runs.read_document(RESOLVED) != resolved:
            self.runs.write_document(RESOLVED, dict(resolved))

    def changed(self, resolved: Mapping[str, Json]) -> list[str]:
        """Dotted paths that results of the earlier experiment hang on and that differ; nothing is written."""
        earlier = self.runs.read_document(RESOLVED)
        if earlier is None:
            return []
        fixed = [
            *(EXTRACTED if self.runs.read_document(INVENTORY) is not None else ()),
            *(TRAINED if any(self.runs.read_document(heads) is not None for heads in HEADS) else ()),
        ]
        return [path for path in differences(earlier, resolved) if path.split(".")[0] in fixed]


def differences(left: Json, right: Json, path: str = "") -> Iterator[str]:
    """Dotted paths at which two JSON values differ, aside from keys that only say how something is computed."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right} - set(HARMLESS)):
            yield from differences(left.get(key), right.get(key), f"{path}.{key}" if path else key)
    elif left != right:
        yield path
