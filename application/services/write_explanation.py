"""Write an explanation: a CSV and, where there is something to see, an SVG a finding, and an index of them all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import attrs

from fusionapp.application.ports.charts import Charts
from fusionapp.application.ports.run_store import RunStore
from fusionapp.application.services.explanation import Finding
from fusionapp.domain.embeddings import Json

_SHOWN_ROWS, _SHOWN_COLUMNS, _SHOWN_LETTERS = 12, 12, 100


@attrs.frozen
class WrittenFinding:
    """Where a finding went.

    Attributes:
        name: of the finding.
        title: of the finding.
        table: path of its CSV.
        figure: path of its SVG; None where there is none.
        rows: of the table.
        numbers: its main numbers.
        warnings: its warnings.
    """

    name: str
    title: str
    table: str
    figure: str | None
    rows: int
    numbers: Mapping[str, Json]
    warnings: Sequence[str]


@attrs.frozen
class WriteExplanation:
    """Writes below the run directory.

    Attributes:
        runs: the run directory.
        charts: draws; None leaves tables alone.
    """

    runs: RunStore
    charts: Charts | None = None

    def __call__(
        self, directory: str, title: str, notes: Sequence[str], findings: Sequence[Finding]
    ) -> list[WrittenFinding]:
        """Write every finding and ``index.md``, and remove what an earlier explanation left there beside them.

        Args:
            directory: under the run.
            title: of the index.
            notes: what a reader should know first, a line each.
            findings: in the order of the index.

        Returns:
            Where each finding went.
        """
        index = f"{directory}/index.md"
        written = [self._finding(directory, finding) for finding in findings]
        self.runs.write_text(index, _index(title, notes, findings, written))
        tables = [f"{directory}/{one.name}.csv" for one in written]
        figures = [f"{directory}/{one.name}.svg" for one in written if one.figure is not None]
        self.runs.prune(directory, {index, *tables, *figures})
        return written

    def _finding(self, directory: str, finding: Finding) -> WrittenFinding:
        table, figure = f"{directory}/{finding.name}.csv", None
        self.runs.write_text(table, _csv(finding))
        if finding.figure is not None and self.charts is not None:
            figure = f"{directory}/{finding.name}.svg"
            self.runs.write_text(figure, self.charts.draw(finding.figure))
        return WrittenFinding(
            name=finding.name,
            title=finding.title,
            table=self.runs.path(table),
            figure=None if figure is None else self.runs.path(figure),
            rows=len(finding.rows),
            numbers=finding.numbers,
            warnings=finding.warnings,
        )


def _csv(finding: Finding) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(finding.header)
    writer.writerows(finding.rows)
    return buffer.getvalue()


def _index(
    title: str, notes: Sequence[str], findings: Sequence[Finding], written: Sequence[WrittenFinding]
) -> str:
    lines = [f"# {_plain(title)}", ""]
    lines += [f"- {_plain(note)}" for note in notes]
    warnings = [f"- **Warning:** {_plain(one)}" for finding in findings for one in finding.warnings]
    lines += [*warnings, ""]
    for finding, files in zip(findings, written, strict=True):
        lines += [f"## {finding.title}", "", finding.reading, "", *_table(finding), ""]
        more = "" if _whole(finding) else " (all of it)"
        lines += [f"[{finding.name}.csv]({finding.name}.csv){more}", ""]
        if files.figure is not None:
            lines += [f"![{finding.title}]({finding.name}.svg)", ""]
    return "\n".join(lines)


def _whole(finding: Finding) -> bool:
    return len(finding.rows) <= _SHOWN_ROWS and len(finding.header) <= _SHOWN_COLUMNS


def _table(finding: Finding) -> Iterable[str]:
    """The first rows and columns as Markdown."""
    header = finding.header[:_SHOWN_COLUMNS]
    yield _line(header)
    yield "|" + "---|" * len(header)
    for row in finding.rows[:_SHOWN_ROWS]:
        yield _line(row[:_SHOWN_COLUMNS])


def _line(cells: Iterable[Json]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(value: Json) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = str(value)
    return _plain(text if len(text) <= _SHOWN_LETTERS else text[: _SHOWN_LETTERS - 1] + "…")


def _plain(text: str) -> str:
    """One line that Markdown takes for text and not for markup."""
    for mark in "\\`*_[]|<":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
