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
    controls, and classifies a few new sentences. What is there already is reused.
    """
    from time import perf_counter

    from fusionapp.entrypoints.demonstration import demonstrate
    from fusionapp.entrypoints.output import print_json, print_leaderboard
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
                "seconds": seconds,
            }
        )
        return
    print_leaderboard(demo.evaluation)
    click.echo("\nNew sentences:")
    for one in demo.predictions:
        click.echo(f"  {one.label:28} {one.probability:.2f}  {one.text}")
    click.echo(f"\nEverything is under {', '.join(demo.runs)} and {storage_root}; {seconds:.0f} s.")
    click.echo(f"Next: fusionapp predict {demo.runs[0]} - , or fusionapp status {demo.runs[0]}")
