"""What the environment and ``.env`` say: caches, data and embedding directories."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from fusionapp.domain.errors import UsageError

logger = logging.getLogger(__name__)

NAMES = ("MODEL_CACHE_DIR", "DATA_DIR", "EMBEDDING_DIR")


@attrs.frozen
class Environment:
    """Directories that the environment names.

    Attributes:
        model_cache: MODEL_CACHE_DIR, the Hugging Face cache; None leaves it to huggingface_hub.
        data: DATA_DIR, where `dataset.name = "r52"` finds the DatasetDict `DATA_DIR/r52`.
        embeddings: EMBEDDING_DIR, the default of `storage.root`.
    """

    model_cache: str | None = None
    data: str | None = None
    embeddings: str | None = None

    def defaults(self) -> dict[str, str]:
        """Experiment keys whose default the environment gives."""
        return {"storage.root": self.embeddings} if self.embeddings else {}


def read_environment(variables: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Environment:
    """The process environment over ``.env``; each value that is taken is named in the log.

    Raises:
        UsageError: ``.env`` cannot be read.
    """
    variables = os.environ if variables is None else variables
    try:
        file = parse_dotenv(dotenv.read_text(encoding="utf-8")) if dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{dotenv}: cannot be read as text: {error}; mend or remove it") from error
    found: dict[str, str | None] = {}
    for name in NAMES:
        value = variables.get(name) or file.get(name)
        if value:
            logger.info("%s = %s, from %s", name, value, "the environment" if variables.get(name) else dotenv)
        found[name] = value
    return Environment(found["MODEL_CACHE_DIR"], found["DATA_DIR"], found["EMBEDDING_DIR"])


def parse_dotenv(text: str) -> dict[str, str]:
    """``NAME=value`` lines; blanks around ``=``, quotes, ``export`` and ``#`` comments are allowed."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.lstrip().startswith("#"):
            value = value.strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
            values[name.strip()] = value[1:-1] if quoted else value.split(" #", 1)[0].rstrip()
    return values
