"""`fusionapp add-model`: let a new model into a trained router."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option

if TYPE_CHECKING:
    from fusionapp.application.services.add_model import ModelAdded
    from fusionapp.domain.routing.prices import Price


@click.command("add-model")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("name")
@click.argument("probes", type=click.Path(path_type=Path))
@click.option("--price-in", type=float, metavar="USD", help="Price of a million tokens of prompts.")
@click.option("--price-out", type=float, metavar="USD", help="Price of a million tokens of its answers.")
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="JSON file of prices by model instead, as of dataset.prices; it must hold NAME.",
)
@click.option("--scores", metavar="COLUMN", help="Column of NAME's scores, where PROBES names no model.")
@click.option("--text", metavar="COLUMN", help="Prompt column, where the run's dataset calls it otherwise.")
@click.option(
    "--score-range",
    type=float,
    nargs=2,
    metavar="LOW HIGH",
    help="What its scores run from and to, where it is not as in the run's dataset.",
)
@click.option("--overwrite", is_flag=True, help="Replace a model of that name that was added before.")
@json_option
def command(
    run: Path,
    name: str,
    probes: Path,
    price_in: float | None,
    price_out: float | None,
    prices: Path | None,
    scores: str | None,
    text: str | None,
    score_range: tuple[float, float] | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Let the model NAME into the routing run RUN by the scores of its answers to the prompts of PROBES.

    Nothing is trained: every seed's router, and their ensemble, takes it as a mixture of the models that they were
    trained on, and `route RUN` and `fusionapp.load(RUN)` know it from then on. PROBES is .csv, .tsv, .jsonl or
    .parquet, of a layout that the run's own files may have, or with a column of NAME's scores alone (--scores).
    Embeddings that the run holds are not computed again. `evaluate` goes on judging the routers as they were
    trained: the dataset has no answers of NAME. Routers that are trained anew forget it.

    What entering by so many probes costs in quality is measured on the models that were trained: each is left out,
    and let in again by validation prompts.
    """
    from fusionapp.entrypoints.output import print_json
    from fusionapp.entrypoints.routing.adding import add_model, added_json

    added = add_model(
        run,
        name,
        probes,
        price=_price(name, price_in, price_out, prices),
        scores=scores,
        text=text,
        score_range=score_range,
        overwrite=overwrite,
        quiet=is_quiet(),
    )
    if as_json:
        print_json(added_json(added))
    else:
        _print(added)


def _price(name: str, price_in: float | None, price_out: float | None, file: Path | None) -> Price | None:
    from fusionapp.domain.errors import UsageError
    from fusionapp.domain.routing.prices import Prices

    given = {"input_price_usd_per_mtok": price_in, "output_price_usd_per_mtok": price_out}
    if file is None:
        if price_in is None and price_out is None:
            return None
        return Prices.of({name: given}, "--price-in and --price-out").models[name]
    if price_in is not None or price_out is not None:
        raise UsageError(
            "--prices and --price-in or --price-out are two answers to one question; give one of them"
        )
    from fusionapp.adapters.files.prices import read_prices

    prices = read_prices(file)
    if name not in prices.models:
        raise UsageError(f"{file}: has no price of {name!r}, but of {', '.join(prices.models)}; add it")
    return prices.models[name]


def _print(added: ModelAdded) -> None:
    from fusionapp.entrypoints.output import print_table

    stored = sum(added.stored.values())
    click.echo(
        f"{added.model} {'was replaced' if added.replaced else 'entered'} by {added.probes:,} probes of mean "
        f"quality {added.mean_quality:.4f} ({stored:,} with stored embeddings); penalty {added.penalty:g}"
    )
    shares = sorted(added.weights.items(), key=lambda each: -each[1])
    click.echo(
        f"mixture: {', '.join(f'{weight:.2f} {model}' for model, weight in shares if weight >= 0.005)}"
    )
    measured = added.cold_start
    if measured is None:
        click.echo("what that costs in quality is not measured: validation holds too few answers")
        return
    mean = measured.mean
    print_table(
        ("left out and let in again", "quality trained", "entered", "without it", "error trained", "entered"),
        [
            (
                cost.model,
                *(f"{value:.4f}" for value in (cost.trained_quality, cost.entered_quality)),
                f"{cost.absent_quality:.4f}",
                *(f"{value:.4f}" for value in (cost.trained_error, cost.entered_error)),
            )
            for cost in (*measured.models, mean)
        ],
        numbers_from=1,
    )
    fewer = "" if mean.probes == added.probes else f" (validation is too small for {added.probes:,})"
    click.echo(
        f"entering by {mean.probes:,} probes{fewer} in place of training costs "
        f"{mean.trained_quality - mean.entered_quality:+.4f} in quality of the chosen answers: mean over models "
        f"and draws, on {measured.prompts:,} validation prompts, which chose the routers, but did not fit them"
    )
    if mean.entered_quality < mean.absent_quality:
        click.echo("by so few probes the chosen answers are worse than without such a model; give more")
