"""`fusionapp route`: send prompts to models."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("route")
@click.argument("router", type=click.Path(path_type=Path))
@click.argument("file", default="-")
@click.option(
    "--text", "column", default="prompt", show_default=True, help="Prompt column of a .csv or .jsonl file."
)
@click.option("--max-cost", type=click.FloatRange(min=0), help="Most USD for a prompt.")
@click.option(
    "--min-quality",
    type=click.FloatRange(min=0, max=1),
    help="The cheapest model of at least this calibrated success.",
)
@click.option("--trade-off", type=click.FloatRange(min=0), help="What a USD is worth in success (lambda).")
@click.option("--fallback", metavar="MODEL", help="Where prompts unlike those in train go.")
@click.option("--abstain", is_flag=True, help="Choose no model for prompts unlike those in train.")
@click.option("--among", multiple=True, metavar="MODEL", help="Only this model; may be given several times.")
@click.option(
    "--batch-size", default=1024, show_default=True, type=click.IntRange(min=1), help="Prompts at a time."
)
def command(
    router: Path,
    file: str,
    column: str,
    batch_size: int,
    max_cost: float | None,
    min_quality: float | None,
    trade_off: float | None,
    fallback: str | None,
    abstain: bool,
    among: tuple[str, ...],
) -> None:
    """Choose a model for each prompt of FILE with ROUTER, one JSON object a line.

    ROUTER is a run directory (the ensemble of its seeds) or one of its models/seed-K. FILE is .txt (a line each),
    .csv, .tsv, .jsonl or .parquet; - reads lines from standard input. Each line has the chosen model, every
    model's score in [-1, 1], its calibrated success and its expected cost in USD. Without a policy here or in the
    experiment the best score wins.
    """
    import attrs

    from fusionapp.adapters.files.prompts import read_prompts
    from fusionapp.domain.errors import UsageError
    from fusionapp.entrypoints.routing.routing import load_router, wish_of

    if abstain and fallback is not None:
        raise UsageError("--abstain and --fallback are two answers to one question; give one of them")
    loaded = load_router(router)
    limits = {"max_cost": max_cost, "min_quality": min_quality, "trade_off": trade_off}
    wish = attrs.evolve(wish_of(loaded.policy, limits), abstain=abstain, among=among)
    if fallback is not None or abstain:
        wish = attrs.evolve(wish, fallback=fallback)
    for routed in loaded.stream(read_prompts(file, column), wish, batch_size):
        click.echo(json.dumps(attrs.asdict(routed), ensure_ascii=False))
