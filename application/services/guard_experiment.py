"""Refuse to run a changed experiment under a name that holds another one's results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.inventories import INVENTORY
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import UsageError

RESOLVED = "experiment.json"
EXTRACTED = ("task", "dataset", "encoders", "storage")
TRAINED = ("seed", "fusion", "train")
HEADS = ("models/trained.json", "protocol/trained.json")
HARMLESS = frozenset({"device", "batch_tokens", "batch_size", "compile", "concurrency", "timeout", "retries"})
"""Keys of an encoder's table that change how its vectors are computed, not which."""


@attrs.frozen
class GuardExperiment:
    """Keeps a run directory to one experiment.

    Attributes:
        runs: the run directory, which receives the resolved experiment.
    """

    runs: RunStore

    def __call__(self, resolved: Mapping[str, Json], overwrite: bool) -> None:
        """Write the resolved experiment down, unless an earlier one stands in the way.

        One that is to be replaced stays until `record`: a misspelt model must not cost a good run its name.

        What was extracted fixes dataset, encoders and storage; what was trained fixes seed, fusion and
        training too. `[evaluate]` may always change, and everything while nothing came of it (a misspelt model).

        Raises:
            UsageError: names every key that differs.
        """
        changed = self.changed(resolved)
        if changed and overwrite:
            return
        if changed:
            raise UsageError(
                f"{self.runs.directory} holds another experiment (changed: {', '.join(changed)}); "
                "choose another `name` or --output, or give --overwrite to replace it"
            )
        self.record(resolved)

    @contextmanager
    def around(self, resolved: Mapping[str, Json], overwrite: bool) -> Iterator[None]:
        """What is done to a run by an experiment: refused as by a call, and recorded when it has come to its end.

        Raises:
            UsageError: names every key that differs.
        """
        self(resolved, overwrite)
        yield
        self.record(resolved)

    def record(self, resolved: Mapping[str, Json]) -> None:
        """Write the resolved experiment down, whatever stands there: it is known to work, so far as it came."""
        if self.runs.read_document(RESOLVED) != resolved:
            self.runs.write_document(RESOLVED, dict(resolved))

    def changed(self, resolved: Mapping[str, Json]) -> list[str]:
        """Dotted paths that results of the earlier experiment hang on and that differ; nothing is written."""
        earlier = self.runs.read_document(RESOLVED)
        if earlier is None:
            return []
        fixed = [
            *(EXTRACTED if self.runs.read_document(INVENTORY) is not None else ()),
            *(TRAINED if any(is_trained(self.runs.read_document(heads)) for heads in HEADS) else ()),
        ]
        return [path for path in differences(earlier, resolved) if path.split(".")[0] in fixed]


def is_trained(document: Json) -> bool:
    """Whether a document of heads says what they were trained on: one that a new training voided does not."""
    return isinstance(document, dict) and document.get("carried") is not None


def differences(left: Json, right: Json, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Dotted paths at which two experiments, or what heads carry of them, differ in what is computed."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted({*left, *right}):
            if not _is_harmless((*path, key)):
                yield from differences(left.get(key), right.get(key), (*path, key))
    elif left != right:
        yield ".".join(path)


def essential(value: Json, path: tuple[str, ...] = ()) -> Json:
    """An experiment, or what heads carry of one, without what only says how it is computed."""
    if not isinstance(value, dict):
        return value
    return {
        key: essential(inner, (*path, key)) for key, inner in value.items() if not _is_harmless((*path, key))
    }


def _is_harmless(path: tuple[str, ...]) -> bool:
    """The device of training, and keys of an encoder's table, or of the copy of it that heads carry."""
    if path[-2:] == ("train", "device"):
        return True
    if path[0] != "encoders" or path[-1] not in HARMLESS:
        return False
    return len(path) == 3 or (len(path) == 4 and path[2] == "settings")
