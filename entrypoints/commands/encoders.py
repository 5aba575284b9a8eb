"""`fusionapp encoders`: the models that have an alias."""

from __future__ import annotations

import click

from fusionapp.entrypoints.commands.options import json_option


@click.command("encoders")
@json_option
def command(as_json: bool) -> None:
    """List the encoders that have an alias, with the settings that each one wants.

    Any other hub id or local directory works as well: pooling is read from its own configuration.
    """
    import attrs

    from fusionapp.domain.catalogue import CARDS
    from fusionapp.entrypoints.output import print_json, print_table

    if as_json:
        print_json({"encoders": [attrs.asdict(card) for card in CARDS]})
        return
    print_table(
        ("alias", "hub id", "dim", "pooling", "prefix", "max length", "normalize"),
        [
            (
                card.alias,
                card.model + (" (gated)" if card.gated else ""),
                str(card.dim),
                card.pooling,
                repr(card.prefix) if card.prefix else "",
                str(card.max_length),
                "yes" if card.normalize else "no",
            )
            for card in CARDS
        ],
    )
    click.echo('sentence_transformers runs a saved pipeline whole (adapter = "sentence_transformers").')
    click.echo('onnx runs what `fusionapp export encoder` wrote (adapter = "onnx", model = its directory).')
    click.echo('openai asks a server by its /v1/embeddings for any model (adapter = "openai").')
    click.echo('lexical needs no model: hashed word and character n-grams (adapter = "lexical").')
