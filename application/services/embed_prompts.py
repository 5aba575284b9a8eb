"""Embeddings of some prompts: those that a run's splits hold are read, the others are encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import numpy as np

from fusionapp.application.ports.encoder import Encoder
from fusionapp.application.ports.router import Prompts
from fusionapp.application.ports.spool import Spool
from fusionapp.application.services.encode_texts import encode_texts
from fusionapp.application.services.gather_embeddings import GatherEmbeddings
from fusionapp.domain.embeddings import Embeddings, Json, stack_rows, take_rows

_AT_ONCE = 1024


@attrs.frozen(eq=False)
class EmbeddedPrompts:
    """Prompts with their embeddings.

    Attributes:
        prompts: in the order asked for.
        stored: by split, how many embeddings were read there.
    """

    prompts: Prompts
    stored: Mapping[str, int]


@attrs.frozen
class EmbedPrompts:
    """Embeds prompts as `route` does.

    Attributes:
        gather: reads a split's stored embeddings.
        spool: the splits' texts.
    """

    gather: GatherEmbeddings
    spool: Spool

    def __call__(
        self,
        texts: Sequence[str],
        inventory: Mapping[str, Json],
        encoders: Callable[[], Mapping[str, Encoder]],
    ) -> EmbeddedPrompts:
        """Embed them.

        Args:
            texts: distinct.
            inventory: the run's ``embeddings.json``, made by the same encoders.
            encoders: opened only where a prompt is not stored.

        Raises:
            UsageError: a text is blank, or cannot be encoded.
            CorruptArtifactError: stored embeddings are gone or changed.
        """
        places = {text: place for place, text in enumerate(texts)}
        parts: list[Mapping[str, Embeddings]] = []
        order: list[int] = []
        stored = {}
        for split in inventory["splits"]:
            found = self._stored(split, places, inventory)
            if found is None:
                continue
            held = set(found[0])
            stored[split] = len(held)
            order += found[0]
            parts.append(found[1])
            places = {text: place for text, place in places.items() if place not in held}
        if places:
            opened, left = encoders(), list(places)
            order += places.values()
            for start in range(0, len(left), _AT_ONCE):
                parts.append(encode_texts(left[start : start + _AT_ONCE], start, opened))
        back = np.argsort(np.array(order, dtype=np.int64))
        names = inventory["encoders"]
        sources = {name: take_rows(stack_rows([part[name] for part in parts]), back) for name in names}
        return EmbeddedPrompts(Prompts(texts, sources), stored)

    def _stored(
        self, split: str, places: Mapping[str, int], inventory: Mapping[str, Json]
    ) -> tuple[list[int], Mapping[str, Embeddings]] | None:
        """The places of those that a split holds, and their embeddings; None where it holds none."""
        rows = {
            places[text]: row for row, text in enumerate(self.spool.read(split).stream()) if text in places
        }
        if not rows:
            return None
        gathered = self.gather(inventory, split)
        kept = {int(row): position for position, row in enumerate(gathered.rows)}  # others were quarantined
        held = {place: kept[row] for place, row in rows.items() if row in kept}
        if not held:
            return None
        positions = np.array(list(held.values()), dtype=np.int64)
        return list(held), {name: take_rows(one, positions) for name, one in gathered.sources.items()}
