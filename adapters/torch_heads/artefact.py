"""A head on disk: ``head.safetensors`` (weights and weightings) beside ``head.json`` (what they mean)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

import attrs
import torch
from safetensors.torch import load, save
from torch import Tensor

from fusionapp.adapters.torch_heads.card import CARD_FILE, HeadCard, read_card
from fusionapp.adapters.torch_heads.head import FusionHead
from fusionapp.adapters.torch_heads.sources import Source, SourceCard
from fusionapp.adapters.torch_shared.described import read_numbers, write_described
from fusionapp.domain.errors import CorruptArtifactError, UsageError
from fusionapp.domain.lexical_weighting import LexicalWeighting
from fusionapp.domain.standardization import Standardization

WEIGHTS_FILE = "head.safetensors"


@attrs.frozen(eq=False)
class SavedHead:
    """One artefact in memory.

    Attributes:
        card: what it is.
        sources: how each source is prepared.
        state: the network's weights, without a seeds dimension.
    """

    card: HeadCard
    sources: tuple[Source, ...]
    state: Mapping[str, Tensor]


def save_head(directory: str, head: SavedHead) -> None:
    """Write both files, weights first, each under another name and then renamed.

    Raises:
        ResourceError: the disk is full.
    """
    tensors = {f"network.{name}": tensor.contiguous() for name, tensor in head.state.items()}
    for index, source in enumerate(head.sources):
        if source.weighting is not None:
            tensors[f"weighting.{index}.columns"] = torch.from_numpy(source.weighting.columns)
            tensors[f"weighting.{index}.idf"] = torch.from_numpy(source.weighting.idf)
        if source.standardization is not None:
            tensors[f"standardization.{index}.mean"] = torch.from_numpy(source.standardization.mean)
            tensors[f"standardization.{index}.deviation"] = torch.from_numpy(source.standardization.deviation)
    weights = save(tensors)
    card = attrs.evolve(head.card, weights_sha256=sha256(weights).hexdigest())
    folder = Path(directory)
    write_described(folder / WEIGHTS_FILE, weights, folder / CARD_FILE, card, "head")


def load_head(directory: str) -> SavedHead:
    """Read an artefact back, trusting nothing in it.

    Raises:
        CorruptArtifactError: a file is missing, changed, or does not describe a head; names the file.
    """
    folder = Path(directory)
    card = read_card(folder / CARD_FILE)
    path = folder / WEIGHTS_FILE
    tensors = read_numbers(path, card.weights_sha256, CARD_FILE, load)
    sources = tuple(_source(path, index, source, tensors) for index, source in enumerate(card.sources))
    prefix = "network."
    state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    _check_state(path, folder / CARD_FILE, card, state)
    return SavedHead(card, sources, state)


def stack_heads(heads: Sequence[SavedHead], device: torch.device) -> FusionHead:
    """One network of several heads with the same fusion, sources and classes, ready to score."""
    first = heads[0].card
    with torch.device("meta"):
        network = _network(len(heads), first)
    state = {name: torch.stack([head.state[name] for head in heads]).to(device) for name in heads[0].state}
    network.load_state_dict(state, assign=True)
    return network.to(device).eval()


def _network(heads: int, card: HeadCard) -> FusionHead:
    return FusionHead(heads, card.fusion, card.recipe, card.sources, card.classes, card.linear)


def _source(path: Path, index: int, card: SourceCard, tensors: Mapping[str, Tensor]) -> Source:
    if card.sparse:
        return Source(card, weighting=_weighting(path, index, card, tensors))
    if card.recipe.normalize != "standard":
        return Source(card)
    mean, deviation = (tensors.get(f"standardization.{index}.{part}") for part in ("mean", "deviation"))
    if (
        mean is None
        or deviation is None
        or any(
            part.dtype != torch.float32 or part.shape != (card.layers, card.dim) for part in (mean, deviation)
        )
        or not bool((mean.isfinite() & deviation.isfinite() & (deviation > 0)).all())
    ):
        raise CorruptArtifactError(f"{path}: the means of source {card.name!r} are broken; train again")
    return Source(card, standardization=Standardization(mean.numpy(), deviation.numpy()))


def _weighting(path: Path, index: int, card: SourceCard, tensors: Mapping[str, Tensor]) -> LexicalWeighting:
    columns, idf = (tensors.get(f"weighting.{index}.{part}") for part in ("columns", "idf"))
    if (
        columns is None
        or idf is None
        or columns.dtype != torch.int64
        or idf.dtype != torch.float32
        or columns.shape != (card.kept,)
        or idf.shape != (card.kept,)
        or (card.kept and (int(columns[0]) < 0 or int(columns[-1]) >= card.dim))
        or bool((columns.diff() <= 0).any())
    ):
        raise CorruptArtifactError(f"{path}: the weighting of source {card.name!r} is broken; train again")
    return LexicalWeighting(columns.numpy(), idf.numpy(), card.recipe.sublinear_tf)


def _check_state(path: Path, card_path: Path, card: HeadCard, state: Mapping[str, Tensor]) -> None:
    """Compare with the network that the card describes, built without memory on the meta device."""
    try:
        with torch.device("meta"):
            network = _network(1, card)
    except (UsageError, RuntimeError, OverflowError, TypeError) as error:
        raise CorruptArtifactError(f"{card_path}: describes no network ({error}); train again") from error
    expected = {name: tuple(tensor.shape[1:]) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.dtype == torch.float32}
    wrong = sorted(name for name in expected.keys() | state.keys() if expected.get(name) != found.get(name))
    broken = sorted(name for name, tensor in state.items() if not torch.isfinite(tensor).all())
    if broken:
        raise CorruptArtifactError(
            f"{path}: tensor {broken[0]!r} holds a number that is not finite; train again"
        )
    if wrong:
        name = wrong[0]
        raise CorruptArtifactError(
            f"{path}: tensor {name!r} should be float32 {expected.get(name)}, found {found.get(name)}; "
            "train again"
        )
