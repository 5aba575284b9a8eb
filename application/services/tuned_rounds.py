"""What tuning left behind, and how a run remembers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from fusionapp.application.ports.encoder_tuner import Preflight, TunedEncoder
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.mine_negatives import Mined
from fusionapp.application.services.train_classifier import TRAINED
from fusionapp.domain.embeddings import Json
from fusionapp.domain.errors import CorruptArtifactError

GROUP, MODEL = "models", "model"
BEGUN = "begun"
"""Under it stands what a call has finished that is not through yet."""

NOTHING: Mapping[str, Json] = {"carried": None, "seconds": 0.0, "seeds": {}}


@attrs.frozen
class Round:
    """One training of one seed.

    Attributes:
        encoder: what it left behind.
        mined: hard negatives that it was trained with; None in the first round.
    """

    encoder: TunedEncoder
    mined: Mined | None = None


@attrs.frozen
class Tuning:
    """What tuning left behind.

    Attributes:
        seeds: by seed, its rounds; the last one's encoder is the seed's, since each round begins with the best
            weights of the one before and keeps them unless it finds better ones.
        seconds: spent now; the first run's where everything was there.
        reused: True where every encoder was there already.
    """

    seeds: Mapping[int, Sequence[Round]]
    seconds: float
    reused: bool = False

    @property
    def encoders(self) -> Mapping[int, TunedEncoder]:
        """Each seed's encoder."""
        return {seed: rounds[-1].encoder for seed, rounds in self.seeds.items()}

    @property
    def best_seed(self) -> int:
        """The seed of the best validation MRR: what `search` and `index` use."""
        return max(self.encoders, key=lambda seed: self.encoders[seed].validation["mrr@10"])


def read_tuning(runs: RunStore) -> Tuning | None:
    """The tuning that a run holds, or None where there is none, or one that was cut short.

    Raises:
        CorruptArtifactError: the document that describes it does not.
    """
    found = read_document(runs)
    if found is None or found["carried"] is None:
        return None
    return Tuning(
        {
            int(seed): [
                read_round(runs, round_place(f"{GROUP}/seed-{seed}", number, len(rounds) - 1), one)
                for number, one in enumerate(rounds)
            ]
            for seed, rounds in found["seeds"].items()
        },
        found["seconds"],
        reused=True,
    )


def read_document(runs: RunStore) -> Mapping[str, Json] | None:
    """What ``models/trained.json`` holds, or None where there is none.

    Raises:
        CorruptArtifactError: it describes no tuning.
    """
    name = f"{GROUP}/{TRAINED}"
    found = runs.read_document(name)
    if found is not None and not (isinstance(found, dict) and found.keys() >= NOTHING.keys()):
        raise CorruptArtifactError(
            f"{runs.directory}/{name}: does not describe a tuning; restore it, or remove it and train again"
        )
    return found


def tuning_document(
    rounds: Mapping[int, Sequence[Round]], seconds: float, carried: Mapping[str, Json]
) -> dict[str, Json]:
    """What is kept of some seeds' rounds."""
    seeds = {
        str(seed): [
            {
                "encoder": attrs.asdict(attrs.evolve(one.encoder, directory="")),
                "mined": None if one.mined is None else one.mined.summary(),
            }
            for one in of_seed
        ]
        for seed, of_seed in rounds.items()
    }
    return {"carried": dict(carried), "seconds": seconds, "seeds": seeds}


def read_round(runs: RunStore, place: str, found: Mapping[str, Json]) -> Round:
    """A round from what `tuning_document` kept of it."""
    kept = found["encoder"]
    encoder = TunedEncoder(
        **{**kept, "preflight": Preflight(**kept["preflight"]), "directory": runs.path(f"{place}/{MODEL}")}
    )
    return Round(encoder, None if found["mined"] is None else Mined.of_summary(found["mined"]))


def round_place(group: str, number: int, last: int) -> str:
    """Where a round of a seed stands: the last one's encoder is the seed's."""
    return group if number == last else f"{group}/rounds/{number}"
