"""The tokenizer of a model, set up as was decided."""

from __future__ import annotations

from pathlib import Path

from fusionapp.adapters.huggingface.decisions import Decisions
from fusionapp.adapters.model_files.tokenization import OnTruncate, TextTokenizer, load_backend


def load_tokenizer(
    directory: Path,
    decisions: Decisions,
    trust_remote_code: bool = False,
    on_truncate: OnTruncate = "warn",
) -> TextTokenizer:
    """The tokenizer of a local directory, set up as decided.

    Raises:
        UsageError: there is none, it has no fast (Rust) backend, or max length leaves no room for text.
    """
    closing = None
    if decisions.architecture.latent_attention:
        # transformers does not know the directory's model type; its tokenizer file is read as it stands.
        from tokenizers import Tokenizer

        backend = Tokenizer.from_file(str(directory / "tokenizer.json"))
        closing = backend.token_to_id("</s>")
    else:
        backend = load_backend(directory, trust_remote_code)
    return TextTokenizer(
        backend,
        decisions.prefix,
        decisions.max_length,
        lower_case=decisions.lower_case,
        closing=closing,
        on_truncate=on_truncate,
    )
