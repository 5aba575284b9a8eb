"""Scores of models as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from fusionapp.adapters.exports.whole_files import whole_files
from fusionapp.application.ports.answer_file import AnswerFile
from fusionapp.domain.embeddings import Json
from fusionapp.domain.routing.rows import ScoreRow


class JsonLinesAnswerFile(AnswerFile):
    """A prompt a line, its keys named as a routing experiment looks for them, but for "id", which it must name."""

    def write(self, path: str, rows: Iterable[ScoreRow]) -> None:
        """Write id, prompt and scores, and the task, costs, latencies and tokens where they are known."""
        with whole_files([Path(path).expanduser()]) as (file,):
            for row in rows:
                known = {
                    "task": row.task,
                    "costs": dict(row.costs) or None,
                    "latencies": dict(row.latencies) or None,
                    "tokens": dict(row.tokens) or None,
                    "prompt_tokens": row.prompt_tokens,
                }
                line: dict[str, Json] = {"id": row.id, "prompt": row.prompt, "scores": dict(row.scores)}
                line |= {key: value for key, value in known.items() if value is not None}
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
