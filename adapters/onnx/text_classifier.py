"""Encoders and heads as one directory: joined, tried as a reader will, and only then put in its place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from fusionapp.adapters.model_files.checkpoint import hash_files
from fusionapp.adapters.model_files.exported import GRAPH, TOKENIZER, ExportedEncoder, read_exported
from fusionapp.adapters.model_files.tokenization import prepend_lower_case
from fusionapp.adapters.onnx.inspection import inspect_graph
from fusionapp.adapters.onnx.joining import PROBABILITIES, input_names, join_graphs
from fusionapp.adapters.onnx.session import import_runtime, is_out_of_memory
from fusionapp.adapters.onnx.text_classifier_card import CARD, README, Tokenization, card_of, readme_of
from fusionapp.adapters.torch_shared.artefacts import whole_directory
from fusionapp.application.ports.text_classifier_exporter import (
    ExportedTextClassifier,
    TextClassifierExporter,
    TextClassifierParts,
)
from fusionapp.domain.errors import ResourceError, UsageError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto

_AGAINST = "fusionapp predict, encoders in float32 on the CPU"


@attrs.frozen
class OnnxTextClassifierExporter(TextClassifierExporter):
    """Joins graphs of encoders and heads into ``model.onnx``.

    Attributes:
        tolerance: how far a probability may be from `predict`'s. Both add in float32, in another order: what was
            seen is below 1e-5, and a token too few shows above 1e-2.
        one_file: bytes of weights that one protobuf file holds; more go to a file beside it.
    """

    tolerance: float = 1e-3
    one_file: int = 1_900_000_000

    def export(self, parts: TextClassifierParts, path: str) -> ExportedTextClassifier:
        """See `TextClassifierExporter.export`."""
        with whole_directory(path) as draft:
            folder = draft / "parts"
            folder.mkdir()
            places = {
                name: Path(write(str(folder / str(row))))
                for row, (name, write) in enumerate(parts.encoders.items())
            }
            parts.heads(str(folder / "heads.onnx"))
            cards = {name: _read(name, place) for name, place in places.items()}
            inputs = _write_tokenizers(draft, places, cards)
            self._join(draft, places, folder / "heads.onnx", inputs)
            shutil.rmtree(folder)
            largest = self._try(draft, inputs, parts, path)
            self._describe(draft, cards, inputs, parts, largest)
        names = [name for one in inputs for name in (one.input_ids, one.attention_mask)]
        return ExportedTextClassifier(path, names, PROBABILITIES, len(parts.texts), largest, self.tolerance)

    def _try(
        self, draft: Path, inputs: Sequence[Tokenization], parts: TextClassifierParts, path: str
    ) -> float:
        largest = _largest_difference(draft, inputs, parts, path)
        if not largest <= self.tolerance:
            raise UsageError(
                f"{path}: not written: on {len(parts.texts)} texts the graph's probabilities are up to "
                f"{largest:.2g} from `fusionapp predict`'s, more than {self.tolerance:g}; export the heads "
                "alone, without --with-encoders"
            )
        return largest

    def _describe(
        self,
        draft: Path,
        cards: Mapping[str, ExportedEncoder],
        inputs: Sequence[Tokenization],
        parts: TextClassifierParts,
        largest: float,
    ) -> None:
        """What stands beside the graph; the card is last, for it holds the hashes of the others."""
        texts = len(parts.texts)
        (draft / README).write_bytes(readme_of(list(cards), len(parts.classes), texts, largest))
        more = {
            "output": PROBABILITIES,
            "encoders": {name: _about(card) for name, card in cards.items()},
            "parity": {
                "against": _AGAINST,
                "texts": texts,
                "largest_difference": largest,
                "tolerance": self.tolerance,
            },
            "files": hash_files(sorted(draft.iterdir())),
        }
        (draft / CARD).write_bytes(card_of(parts.classes, inputs, **more))

    def _join(
        self, draft: Path, places: Mapping[str, Path], heads: Path, inputs: Sequence[Tokenization]
    ) -> None:
        try:
            import onnx
        except ImportError as error:
            raise UsageError("onnx is not installed; install the extra `onnx` of fusionapp") from error
        reads = {name: one.encoders[0] for one in inputs for name in one.encoders}
        graphs = {name: _load(place) for name, place in places.items()}
        model = join_graphs(graphs, {name: reads[name] for name in places}, onnx.load(str(heads)))
        size = sum(tensor.ByteSize() for tensor in model.graph.initializer)
        beside = size > self.one_file
        try:
            onnx.save_model(model, str(draft / GRAPH), save_as_external_data=beside, location=f"{GRAPH}.data")
            onnx.checker.check_model(str(draft / GRAPH))
        except onnx.checker.ValidationError as error:
            raise UsageError(
                f"the joined graph is not valid ONNX: {error}; export the heads alone"
            ) from error


def _read(name: str, place: Path) -> ExportedEncoder:
    card = read_exported(place)
    if card.int8:
        raise UsageError(
            f"encoder {name!r}: the scale of an 8-bit graph's numbers is that of the whole batch, so what it says "
            "of a text depends on its neighbours and cannot be held to `fusionapp predict`; export the encoder "
            "without --int8 and train on it, or export the heads alone, without --with-encoders"
        )
    return card


def _load(place: Path) -> ModelProto:
    import onnx

    inspect_graph(place / GRAPH)  # a graph from elsewhere must not name files elsewhere
    return onnx.load(str(place / GRAPH))


def _write_tokenizers(
    draft: Path, places: Mapping[str, Path], cards: Mapping[str, ExportedEncoder]
) -> list[Tokenization]:
    """One file and one pair of inputs for all encoders that tokenize alike; files are numbered from the second."""
    from tokenizers import Tokenizer

    found: dict[tuple[str, str], Tokenization] = {}
    for name, card in cards.items():
        backend = Tokenizer.from_file(str(places[name] / TOKENIZER))
        if card.lower_case:
            prepend_lower_case(backend)
        backend.enable_truncation(card.max_length)
        backend.enable_padding(pad_id=0, pad_token=backend.id_to_token(0) or "")  # masked, whatever it is
        key = (backend.to_str(), card.prefix)
        if key in found:
            found[key].encoders.append(name)
            continue
        file = f"tokenizer-{len(found) + 1}.json" if found else TOKENIZER
        backend.save(str(draft / file))
        ids, mask = input_names(name)
        found[key] = Tokenization(ids, mask, file, card.prefix, card.max_length, [name])
    return list(found.values())


def _about(card: ExportedEncoder) -> dict[str, Any]:
    """What was decided when an encoder was exported, but for the files that are no more."""
    return {key: value for key, value in attrs.asdict(card).items() if key != "files"}


def _largest_difference(
    draft: Path, inputs: Sequence[Tokenization], parts: TextClassifierParts, path: str
) -> float:
    """Between the graph's probabilities, of all texts at once and of each alone, and those it must give."""
    try:
        run = _Reader(draft, inputs)
        rows = [run(parts.texts), np.concatenate([run([text]) for text in parts.texts])]
    except Exception as error:
        if is_out_of_memory(error):
            raise ResourceError(f"memory: {path} does not fit; export the heads alone") from error
        reason = first_line(error)
        raise UsageError(
            f"{path}: not written: onnxruntime does not run the graph ({reason}); export the heads alone"
        ) from error
    return max(float(np.abs(found - parts.probabilities).max()) for found in rows)


class _Reader:
    """The program of the directory's README, on the CPU."""

    def __init__(self, draft: Path, inputs: Sequence[Tokenization]) -> None:
        from tokenizers import Tokenizer

        onnxruntime = import_runtime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(draft / GRAPH), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [(one, Tokenizer.from_file(str(draft / one.tokenizer))) for one in inputs]

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        feed = {}
        for one, tokenizer in self._inputs:
            rows = tokenizer.encode_batch([one.prefix + text for text in texts])
            feed[one.input_ids] = np.array([row.ids for row in rows], dtype=np.int64)
            feed[one.attention_mask] = np.array([row.attention_mask for row in rows], dtype=np.int64)
        (found,) = self._session.run([PROBABILITIES], feed)
        probabilities: NDArray[np.float32] = found
        return probabilities
