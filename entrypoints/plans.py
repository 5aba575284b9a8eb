"""What an extraction would do, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import click

from fusionapp.application.services.plan_extraction import PlannedSet
from fusionapp.domain.token_lengths import TokenLengths
from fusionapp.entrypoints.output import print_json, print_table


def print_plan(plan: Sequence[PlannedSet], as_json: bool) -> None:
    """What `extract --dry-run` prints."""
    if as_json:
        print_json({"plan": [attrs.asdict(one) for one in plan]})
        return
    print_table(
        ("encoder", "split", "texts", "to do", "tokens (estimated)", "shards", "disk (estimated)"),
        [
            (
                one.encoder,
                one.split,
                f"{one.texts:,}",
                f"{one.missing_texts:,}",
                f"{one.tokens:,}",
                str(one.shards),
                f"{one.disk_bytes / 2**20:,.1f} MiB",
            )
            for one in plan
        ],
        numbers_from=2,
    )
    print_table(
        ("encoder", "split", "min", "median", "90 %", "95 %", "99 %", "max", "truncated", "tokens a batch"),
        [
            (
                one.encoder,
                one.split,
                *(f"{length:,}" for length in _quantiles(one.lengths)),
                f"{one.lengths.truncated:.1%}",
                f"{one.batch_tokens:,}",
            )
            for one in plan
        ],
        title="tokens of a text, before anything is cut",
        numbers_from=2,
    )
    for name, choices in {one.encoder: one.choices for one in plan}.items():
        for choice in choices:
            click.echo(f"{name}: {choice}")


def _quantiles(lengths: TokenLengths) -> tuple[int, ...]:
    return lengths.minimum, lengths.median, lengths.p90, lengths.p95, lengths.p99, lengths.maximum
