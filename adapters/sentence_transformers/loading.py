"""Loading a pipeline: no code from its directory, no kernel from the hub, no pickled weights but tensors."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from fusionapp.adapters.torch_shared.loading import explain_errors
from fusionapp.adapters.torch_shared.quiet import quiet_loggers, quiet_transformers
from fusionapp.domain.embeddings import ExecutionPlan
from fusionapp.domain.errors import UsageError


@attrs.frozen
class CountedText:
    """A text and what it costs.

    Attributes:
        text: as it was given, without the prompt.
        tokens: tokens that are computed.
    """

    text: str
    tokens: int

    def __len__(self) -> int:
        """Tokens."""
        return self.tokens


class LoadedPipeline:
    """A `SentenceTransformer` on its device: what `SentenceTransformersEncoder` frees in `close`."""

    def __init__(
        self,
        directory: Path,
        plan: ExecutionPlan,
        *,
        prompt: str,
        max_length: int | None,
        normalize: bool,
        all_layers: bool,
        no_padding: bool,
    ) -> None:
        """Load the weights of a directory that `read_pipeline` found harmless.

        Raises:
            UsageError: sentence-transformers is not installed, or cannot run the pipeline.
            CorruptArtifactError: the files are not its weights.
            ResourceError: memory ran out.
        """
        dtype = getattr(torch, plan.dtype)
        # A saved configuration's old keys are deprecated, and told of at every load.
        with loading_errors(directory), quiet_transformers(), quiet_loggers("sentence_transformers"):
            model = _construct(directory, plan.attention, dtype, all_layers)
            model.to(device=plan.device, dtype=dtype).eval()
            if max_length is not None:
                model.max_seq_length = max_length
            if not set(getattr(model, "modalities", ())) <= {"text", "message"}:
                # It would take a text that is an address or a file's name for an image, and fetch it.
                raise UsageError(f"model: {directory} reads more than text; that is refused")
            model.default_prompt_name = None
            self._model = model
            self._prompt = prompt or None
            self._normalize = normalize
            self._no_padding = no_padding
            # What the tokenizer settles at its first call is settled before several threads call it.
            self.dim = int(self.views([CountedText("a", 1)]).shape[-1])

    def views(self, ids: Sequence[Any], skip: int = 0, budget: int | None = None) -> Tensor:
        """(batch, 1, dim) float32 of one batch of `CountedText`; the pipeline itself leaves its prompt out."""
        texts = [one.text for one in ids]
        if self._no_padding:
            # A convolution would carry the states of padding into its neighbours: only equal lengths go together.
            lengths = groupby(range(len(ids)), key=lambda row: len(ids[row]))
            rows = [list(group) for _, group in lengths]
            vectors = torch.cat([self._encode([texts[row] for row in group]) for group in rows])
        else:
            vectors = self._encode(texts)
        if self._normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=1)
        return vectors[:, None]

    def _encode(self, texts: list[str]) -> Tensor:
        vectors: Tensor = self._model.encode(
            texts,
            prompt=self._prompt,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_tensor=True,
            normalize_embeddings=False,
        )
        return vectors.float()


def _construct(directory: Path, attention: str, dtype: torch.dtype, all_layers: bool) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise UsageError(
            "sentence-transformers is not installed; install the extra `sentence` of fusionapp"
        ) from error
    return SentenceTransformer(
        str(directory),
        device="cpu",
        backend="torch",
        trust_remote_code=False,
        local_files_only=True,
        # Named here so that nothing in a configuration can name another.
        model_kwargs={"attn_implementation": attention, "dtype": dtype, "weights_only": True},
        # Without it, a pooling over layers passes the last one on and says nothing.
        config_kwargs={"output_hidden_states": True} if all_layers else None,
    )


def loading_errors(directory: Path) -> AbstractContextManager[None]:
    """Say in one line why sentence-transformers cannot run a pipeline; see `explain_errors`."""
    return explain_errors(
        directory,
        unable="sentence-transformers cannot run",
        smaller="use a smaller model",
        unfit=(ImportError, ValueError, TypeError, LookupError, AttributeError),
    )
