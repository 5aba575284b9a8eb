"""What every executor keeps to: the same encodings in the same order, wherever they were made."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import attrs
import numpy as np
import pytest
from fakes.encoders import CountingEncoder, FailingEncoder, RefusingEncoder
from tiny_models import tiny_model

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.adapters.executors.processes import ProcessExecutor
from fusionapp.adapters.executors.ray_actors import RayExecutor
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import DatasetError, ResourceError, TextTooLongError, UsageError

EXECUTORS: dict[str, Callable[[], Executor]] = {
    "local": LocalExecutor,
    "processes": lambda: ProcessExecutor(workers=2),
    "ray": lambda: RayExecutor(workers=2),
}

PARTS = [[f"text {part} {row}" for row in range(part + 1)] for part in range(7)]


class DyingEncoder(CountingEncoder):
    """Kills its process over a text with a mark, the first `deaths` times; `tally` counts them on disk."""

    def __init__(self, tally: Path, deaths: int) -> None:
        super().__init__()
        self._tally = tally
        self._deaths = deaths

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        died = len(list(self._tally.iterdir()))
        if any("text 3 0" in text for text in texts) and died < self._deaths:
            (self._tally / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)


class HangingEncoder(CountingEncoder):
    """Hangs over a text with a mark, the first `hangs` times; `tally` counts them on disk."""

    def __init__(self, tally: Path, hangs: int) -> None:
        super().__init__()
        self._tally = tally
        self._hangs = hangs

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        hung = len(list(self._tally.iterdir()))
        if any("text 3 0" in text for text in texts) and hung < self._hangs:
            (self._tally / str(hung)).touch()
            time.sleep(600)


class SlowEncoder(CountingEncoder):
    """Takes its time over every part, and says after each second that it goes on."""

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        for _ in range(8):
            time.sleep(1)
            if on_batch is not None:
                on_batch(0, 0)
        return super().encode(texts, plan, on_batch)


class NamingEncoder(CountingEncoder):
    """Gives the number of its process for every text."""

    def after(self, texts: Sequence[str], encoding: Encoding) -> Encoding:
        return attrs.evolve(encoding, embeddings=np.full_like(encoding.embeddings, os.getpid()))


class TalkingEncoder(CountingEncoder):
    """Logs how long each part is, and what nobody needs to know."""

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        logging.getLogger("fusionapp.talking").info("nothing special")
        logging.getLogger("fusionapp.talking").warning("%d characters", sum(map(len, texts)))


class StubbornError(Exception):
    """Cannot be unpickled, as errors of some libraries."""

    def __init__(self, code: int, *, server: str) -> None:
        super().__init__(f"{code} of {server}")


class StubbornEncoder(CountingEncoder):
    """Fails as its library likes."""

    def before(self, texts: Sequence[str], plan: ExecutionPlan) -> None:
        raise StubbornError(500, server="a server")


@pytest.fixture(params=["local", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "ray":
        pytest.importorskip("ray", reason="the extra `distributed` is not installed")
    with closing(EXECUTORS[request.param]()) as executor:
        yield executor


PATIENT: dict[str, Callable[[], Executor]] = {
    "processes": lambda: ProcessExecutor(workers=2, patience=5.0),
    "ray": lambda: RayExecutor(workers=2, patience=20.0),
}
"""Starting a worker must fit in."""


@pytest.fixture(params=["processes", pytest.param("ray", marks=pytest.mark.slow)])
def impatient(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One that takes a worker to hang after seconds."""
    with closing(PATIENT[request.param]()) as executor:
        yield executor


@pytest.fixture(params=["processes", pytest.param("ray", marks=pytest.mark.slow)])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One that works in other processes."""
    with closing(EXECUTORS[request.param]()) as executor:
        yield executor


def run(executor: Executor, encoder: CountingEncoder) -> list[np.ndarray]:
    plan = encoder.plan(100)
    return [np.asarray(one.embeddings) for one in executor.encode(encoder, iter(PARTS), plan)]


def test_encodings_come_in_the_order_of_the_parts_with_the_same_bytes(executor: Executor) -> None:
    found = run(executor, CountingEncoder())

    expected = [np.asarray(CountingEncoder().encode(part, ExecutionPlan()).embeddings) for part in PARTS]
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]


def test_a_transformer_gives_the_same_bytes_everywhere(executor: Executor) -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    plan = encoder.plan(100)

    found = [np.asarray(one.embeddings) for one in executor.encode(encoder, PARTS, plan)]

    expected = [np.asarray(encoder.encode(part, plan).embeddings) for part in PARTS]
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]


def test_texts_and_tokens_are_reported(executor: Executor) -> None:
    seen: list[tuple[int, int]] = []
    encoder = CountingEncoder()

    for _ in executor.encode(
        encoder, PARTS, encoder.plan(1), lambda texts, tokens: seen.append((texts, tokens))
    ):
        pass

    assert sum(texts for texts, _ in seen) == sum(map(len, PARTS))
    assert sum(tokens for _, tokens in seen) == 3 * sum(map(len, PARTS))


def test_an_encoders_own_error_comes_through_in_the_part_s_turn(executor: Executor) -> None:
    encodings = executor.encode(RefusingEncoder("text 4 2"), PARTS, ExecutionPlan())
    for _ in range(4):
        next(encodings)

    with pytest.raises(TextTooLongError, match="is too long") as caught:
        next(encodings)

    assert caught.value.position == 2


def test_no_parts_give_nothing(executor: Executor) -> None:
    assert list(executor.encode(CountingEncoder(), [], ExecutionPlan())) == []


def test_it_can_be_left_early(executor: Executor) -> None:
    encodings = executor.encode(CountingEncoder(), PARTS, ExecutionPlan())

    assert len(next(encodings).truncated) == 1
    encodings.close()


def test_a_reader_of_parts_that_fails_ends_the_job_with_its_own_error(executor: Executor) -> None:
    def parts() -> Iterator[Sequence[str]]:
        yield from PARTS[:2]
        raise DatasetError("train.csv: row 3 is torn")

    encodings = executor.encode(CountingEncoder(), parts(), ExecutionPlan())

    with pytest.raises(DatasetError, match="row 3"):
        list(encodings)


def test_parts_are_read_ahead_by_a_few_only(executor: Executor) -> None:
    read: list[int] = []

    def parts() -> Iterator[Sequence[str]]:
        for number in range(100):
            read.append(number)
            yield [f"text {number}"]

    encodings = executor.encode(CountingEncoder(), parts(), ExecutionPlan())
    for _ in range(5):
        next(encodings)
    encodings.close()

    assert len(read) <= 5 + 2 + 1


def test_a_second_job_of_an_encoder_finds_the_workers_of_the_first(elsewhere: Executor) -> None:
    encoder = NamingEncoder()

    [first] = run(elsewhere, encoder)[:1]
    encodings = elsewhere.encode(encoder, PARTS, encoder.plan(1))
    again = {int(np.asarray(one.embeddings)[0, 0, 0]) for one in encodings}

    assert int(first[0, 0, 0]) in again
    assert os.getpid() not in again


def test_what_failed_comes_with_its_reason(executor: Executor) -> None:
    encoder = FailingEncoder("text 2 1", reason="refused by the server")

    found = list(executor.encode(encoder, PARTS, ExecutionPlan()))

    assert [one.failed.sum() for one in found] == [0, 0, 1, 0, 0, 0, 0]
    assert found[2].reasons == {1: "refused by the server"}


def test_what_an_encoder_logs_elsewhere_is_logged_here(
    elsewhere: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "fusionapp"):
        run(elsewhere, TalkingEncoder())

    assert [record.getMessage() for record in caplog.records].count("16 characters") == 1
    assert not any(record.levelno < logging.WARNING for record in caplog.records)


def test_an_error_that_cannot_be_sent_still_says_what_it_is(elsewhere: Executor) -> None:
    with pytest.raises(RuntimeError, match="StubbornError: 500 of a server"):
        run(elsewhere, StubbornEncoder())


def test_an_encoder_that_cannot_be_sent_names_the_way_out() -> None:
    encoder = CountingEncoder()
    encoder.close = lambda: None  # type: ignore[method-assign]

    with pytest.raises(UsageError, match='executor = "local"'):
        run(ProcessExecutor(workers=1), encoder)


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(
    elsewhere: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = run(elsewhere, DyingEncoder(tmp_path, deaths=2))

    assert len(list(tmp_path.iterdir())) == 2
    assert [len(one) for one in found] == [len(part) for part in PARTS]
    assert "it is replaced" in caplog.text


def test_a_part_that_kills_every_worker_ends_the_run_with_the_way_out(
    elsewhere: Executor, tmp_path: Path
) -> None:
    with pytest.raises(ResourceError, match=r"died 3 times.*memory.*extract.workers"):
        run(elsewhere, DyingEncoder(tmp_path, deaths=99))


def test_a_worker_that_hangs_is_replaced_and_nothing_is_lost(
    impatient: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = run(impatient, HangingEncoder(tmp_path, hangs=1))

    assert len(list(tmp_path.iterdir())) == 1
    assert [len(one) for one in found] == [len(part) for part in PARTS]
    assert "finished no batch within" in caplog.text


@pytest.mark.slow
def test_a_part_that_every_worker_hangs_over_ends_the_run_in_its_turn(
    impatient: Executor, tmp_path: Path
) -> None:
    encodings = impatient.encode(HangingEncoder(tmp_path, hangs=99), PARTS, ExecutionPlan())
    for _ in range(3):
        next(encodings)

    with pytest.raises(ResourceError, match=r"2 workers in turn.*extract.patience"):
        next(encodings)


@pytest.mark.slow
def test_a_worker_that_is_slow_but_finishes_batches_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with closing(ProcessExecutor(workers=1, patience=5.0)) as executor:
        encodings = list(executor.encode(SlowEncoder(), PARTS[:1], ExecutionPlan()))

    assert len(encodings) == 1
    assert "replaced" not in caplog.text
