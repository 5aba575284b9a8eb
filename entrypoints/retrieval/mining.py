"""Writing a run's pairs with hard negatives that its encoder finds."""

from __future__ import annotations

from pathlib import Path

from fusionapp.application.services.mine_negatives import Mined
from fusionapp.domain.errors import UsageError
from fusionapp.entrypoints.retrieval.searching import best_encoder, open_run
from fusionapp.entrypoints.retrieval.steps import embed_split, refuse_damaged


def mine(run: Path, output: Path, split: str = "train", quiet: bool = True) -> Mined:
    """Mine as ``[train.mining]`` says, by the tuned encoder of the best seed or, without one, by the untuned one.

    Args:
        run: the run directory of a retrieval experiment.
        output: the .jsonl file, readable by the files source.
        split: whose pairs; its documents alone are looked among.
        quiet: show no progress bars.

    Returns:
        How many were found.

    Raises:
        UsageError: no such run or split, or the output cannot be read as pairs again.
        FusionAppError: see `fusionapp.domain.errors`.
    """
    from fusionapp.adapters.exports.pair_lines import check_pair_lines, write_pair_lines

    check_pair_lines(output)
    session = open_run(run, quiet)
    experiment, runs = session.experiment, session.gateways.runs()
    encoder = best_encoder(session)
    load = session.services.load()
    with runs.lock():
        if encoder.group is not None:
            refuse_damaged(runs, encoder.group)
        pairs = load(split)
        search = session.services.mine(
            embed=lambda _: embed_split(session, encoder.directory, split),
            index=session.gateways.index(experiment.index.kind),
        )
        mined: Mined = search(encoder.directory or experiment.tunable[1].model, experiment.train, pairs)
        if not mined.found:
            raise UsageError(
                f"{run}: no document of {split} is a hard negative of any query by train.mining; raise its depth "
                "or most_similar"
            )
        write_pair_lines(output, session.services.list_pairs()(split, mined))
    return mined
