"""The pipeline that keeps a GPU busy, run here on the CPU: the order and the bytes are what matters."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import sleep

import numpy as np
import pytest
from command_line import SOURCES
from process_tree import descendants, seconds_until_gone, workers
from tiny_models import TEXTS, tiny_model

from fusionapp.adapters.huggingface.encoder import HuggingFaceEncoder
from fusionapp.adapters.huggingface.streaming import map_ahead, stream_to_gpu

SLOW_TOKENS = """
import sys
from time import sleep

from fusionapp.adapters.huggingface.streaming import stream_to_gpu


def tokenize(texts):
    sleep(0.2)
    return texts


def run():
    try:
        for encoding in stream_to_gpu(tokenize, lambda tokens: tokens, (["text"] for _ in range(1000))):
            print("encoded", flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_results_come_in_order_with_a_bounded_number_under_way() -> None:
    under_way, most, lock = 0, 0, Lock()

    def work(item: int) -> int:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        sleep(0.01 * (item % 3))
        with lock:
            under_way -= 1
        return item * item

    with ThreadPoolExecutor(8) as pool:
        found = list(map_ahead(pool, work, range(20), ahead=3))

    assert found == [item * item for item in range(20)]
    assert most <= 3


def test_items_are_read_no_further_than_needed() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            read.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        next(map_ahead(pool, str, items(), ahead=4))

    assert len(read) == 4


def test_streamed_parts_have_the_bytes_of_parts_encoded_one_by_one() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    plan = encoder.plan(9)
    parts = [list(TEXTS), list(TEXTS[1:]), [TEXTS[0]] * 3, list(TEXTS[:2])]

    found = stream_to_gpu(encoder._tokenize, lambda tokens: encoder._encode_tokens(tokens, plan, None), parts)

    for one, part in zip(found, parts, strict=True):
        assert (
            np.asarray(one.embeddings).tobytes()
            == np.asarray(encoder.encode(part, plan).embeddings).tobytes()
        )


def test_an_error_in_a_tokenizer_process_comes_through() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu", max_length=8, on_truncate="error")

    with pytest.raises(ValueError, match="longer than the 8 tokens"):
        list(stream_to_gpu(encoder._tokenize, lambda tokens: None, [["word " * 50]]))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_tokenizer_processes_go_with_their_parent_quietly(number: int, code: int, tmp_path: Path) -> None:
    (tmp_path / "slow_tokens.py").write_text(SLOW_TOKENS)
    process = subprocess.Popen(
        [sys.executable, "-c", "import slow_tokens; slow_tokens.run()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(SOURCES)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "encoded\n"
    family = descendants(process.pid)
    assert workers(process.pid)
    os.killpg(process.pid, number) if code > 0 else process.send_signal(number)

    _, said = process.communicate(timeout=60)

    assert process.returncode == code
    assert "Traceback" not in said  # Python may say that it cleaned up after a killed process
    assert seconds_until_gone(family, limit=5) < 2
