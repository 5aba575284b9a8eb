"""`fusionapp demo`: the whole job on text that every machine has."""

from __future__ import annotations

import click

from fusionapp.entrypoints.commands.options import is_quiet, json_option, runs_option


@click.command("demo")
@runs_option
@click.option(
    "--storage-root", default="embeddings", show_default=True, help="Directory of stored embeddings."
)
@json_option
def command(runs: str, storage_root: str, as_json: bool) -> None:
    """Run the whole job offline: which package is a docstring from?

    Reads the docstrings of the installed Python packages, embeds them with all-MiniLM-L6-v2 (extra `demo`) and
    with hashed n-grams, trains two fusions over five seeds, judges the better one on validation beside its
    controls, and classifies a few new sentences. A router then learns which of three classifiers is right on which
    text, at assumed prices. What is there already is reused.
    """
    from time import perf_counter

    from fusionapp.entrypoints.demonstration import demonstrate
    from fusionapp.entrypoints.demonstration_routing import GOOD_ENOUGH
    from fusionapp.entrypoints.output import print_json, print_leaderboard, print_table
    from fusionapp.entrypoints.reports import evaluation_json

    start = perf_counter()
    say = (lambda _: None) if as_json or is_quiet() else click.echo
    demo = demonstrate(runs, storage_root, say, quiet=is_quiet())
    seconds = perf_counter() - start
    if as_json:
        print_json(
            {
                **evaluation_json(demo.evaluation),
                "best": demo.best,
                "runs": list(demo.runs),
                "predictions": [
                    {"text": one.text, "label": one.label, "probability": one.probability}
                    for one in demo.predictions
                ],
                "routing": {
                    "run": demo.routing.run,
                    "leaderboard": [
                        {"name": row.name, "right": row.metrics["quality"].mean, "cost": row.cost}
                        for row in demo.routing.leaderboard
                    ],
                    "routed": [{"prompt": one.prompt, "model": one.model} for one in demo.routing.routed],
                },
                "seconds": seconds,
            }
        )
        return
    print_leaderboard(demo.evaluation)
    click.echo("\nNew sentences:")
    for one in demo.predictions:
        click.echo(f"  {one.label:28} {one.probability:.2f}  {one.text}")
    print_table(
        ("routing between them", "right", "USD / 1,000 texts (assumed prices)"),
        [
            (
                row.name,
                f"{row.metrics['quality'].mean:.4f}",
                "" if row.cost is None else f"{1000 * row.cost:.4f}",
            )
            for row in demo.routing.leaderboard
        ],
        numbers_from=1,
    )
    click.echo(f"The cheapest that is right with a chance of {GOOD_ENOUGH:.0%}, or else the best:")
    for routed in demo.routing.routed:
        cost = 0.0 if routed.model is None else routed.cost[routed.model] or 0.0
        click.echo(f"  {routed.model or 'none':14} {cost:.6f} USD  {routed.prompt}")
    click.echo(f"\nEverything is under {', '.join(demo.runs)} and {storage_root}; {seconds:.0f} s.")
    click.echo(f"Next: fusionapp predict {demo.runs[0]} - , or fusionapp status {demo.runs[0]}")
