"""What every executor keeps to: the same encodings in the same order, wherever they were made."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from fakes.encoders import CountingEncoder
from tiny_models import tiny_model

from fusionapp.adapters.executors.local import LocalExecutor
from fusionapp.adapters.executors.processes import ProcessExecutor
from fusionapp.adapters.executors.ray_actors import RayExecutor
from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.application.ports.executor import Executor
from fusionapp.domain.embeddings import Encoding, ExecutionPlan
from fusionapp.domain.errors import ResourceError, TextTooLongError

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

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        died = len(list(self._tally.iterdir()))
        if any("text 3 0" in text for text in texts) and died < self._deaths:
            (self._tally / str(died)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(texts, plan, on_batch)


class StrictEncoder(CountingEncoder):
    """Refuses a text."""

    def encode(
        self,
        texts: Sequence[str],
        plan: ExecutionPlan,
        on_batch: Callable[[int, int], None] | None = None,
    ) -> Encoding:
        if "text 4 2" in texts:
            raise TextTooLongError("is too long", list(texts).index("text 4 2"))
        return super().encode(texts, plan, on_batch)


@pytest.fixture(params=["local", "processes", pytest.param("ray", marks=pytest.mark.slow)])
def executor(request: pytest.FixtureRequest) -> Executor:
    if request.param == "ray":
        pytest.importorskip("ray", reason="the extra `distributed` is not installed")
    return EXECUTORS[request.param]()


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
    encodings = executor.encode(StrictEncoder(), PARTS, ExecutionPlan())
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


@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(kind: str, tmp_path: Path) -> None:
    found = run(EXECUTORS[kind](), DyingEncoder(tmp_path, deaths=2))

    assert len(list(tmp_path.iterdir())) == 2
    assert [len(one) for one in found] == [len(part) for part in PARTS]


@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_part_that_kills_every_worker_ends_the_run_with_the_way_out(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"died 3 times.*memory.*extract.workers"):
        run(EXECUTORS[kind](), DyingEncoder(tmp_path, deaths=99))
