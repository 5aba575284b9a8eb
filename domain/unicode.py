"""Text that UTF-8 can carry."""

from __future__ import annotations


def mend_surrogates(text: str) -> str:
    """The text with half surrogate pairs, which a JSON file may hold and no tokenizer reads, as U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
