"""The pipeline that keeps a GPU busy, run here on the CPU: the order and the bytes are what matters."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import parent_process
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
from fusionapp.adapters.model_files.tokenization import Tokens

SLOW_TOKENS = """
import sys
from multiprocessing import parent_process
from time import sleep

from fusionapp.adapters.huggingface.streaming import stream_to_gpu


def tokenize(texts):
    sleep(0.2)
    return "here" if parent_process() is None else "elsewhere"


def run():
    try:
        for encoding in stream_to_gpu(tokenize, lambda tokens: tokens, (["text"] for _ in range(1000))):
            print(encoding, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)
"""
FROM_INPUT = f"""{SLOW_TOKENS}
from threading import enumerate as threads


class Large:
    def __init__(self):
        self.vocabulary = bytes(10**6)

    def __call__(self, texts):
        return tokenize(texts)


print(set(stream_to_gpu(Large(), lambda tokens: tokens, (["text"] for _ in range(20)))))
sleep(0.5)
print(len(threads()))
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
        found = list(map_ahead(lambda item: pool.submit(work, item), range(20), ahead=3))

    assert found == [item * item for item in range(20)]
    assert most <= 3


def test_items_are_read_no_further_than_needed() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            read.append(item)
            yield item

    with ThreadPoolExecutor(2) as pool:
        next(map_ahead(lambda item: pool.submit(str, item), items(), ahead=4))

    assert len(read) == 4


def test_streamed_parts_have_the_bytes_of_parts_encoded_one_by_one() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), dtype="float32", device="cpu")
    plan = encoder.plan(9)
    parts = [list(TEXTS), list(TEXTS[1:]), [TEXTS[0]] * 3, list(TEXTS[:2])] * 3

    found = stream_to_gpu(encoder._tokenize, lambda tokens: encoder._encode_tokens(tokens, plan, None), parts)

    for one, part in zip(found, parts, strict=True):
        assert (
            np.asarray(one.embeddings).tobytes()
            == np.asarray(encoder.encode(part, plan).embeddings).tobytes()
        )


def test_a_tokenizer_goes_to_other_processes_without_torch_and_transformers() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu")
    code = (
        "import pickle, sys; import fusionapp.adapters.huggingface.streaming; "
        "tokenize = pickle.load(sys.stdin.buffer); print(tokenize(['a word']).ids[0].tolist()); "
        "print({'torch', 'transformers'} & set(sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(encoder._tokenize),
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        check=True,
    )

    assert done.stdout.decode().splitlines() == [str(encoder._tokenize(["a word"]).ids[0].tolist()), "set()"]


def test_a_tokenizer_that_cannot_be_pickled_streams_from_threads() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu")
    tokenize = encoder._tokenize
    parts = [list(TEXTS), list(TEXTS[1:])] * 4  # more than processes are started for

    def here(texts: Sequence[str]) -> Tokens:
        return tokenize(texts)

    found = stream_to_gpu(here, lambda tokens: tokens.lengths, parts)  # type: ignore[arg-type,return-value]

    assert [lengths.tolist() for lengths in found] == [tokenize(part).lengths.tolist() for part in parts]  # type: ignore[attr-defined]


class InProcess:
    """A tokenizer that waits until it is called in a process of its own; in threads it gives nothing but time."""

    def __init__(self, tokenize: Callable[[Sequence[str]], Tokens]) -> None:
        self.tokenize = tokenize

    def __call__(self, texts: Sequence[str]) -> Tokens | None:
        if parent_process() is None:
            sleep(0.2)
            return None
        return self.tokenize(texts)


def streamed_by_processes(encoder: HuggingFaceEncoder, texts: Sequence[str]) -> Tokens:
    """The tokens of texts, the first that come from a process and not from a thread."""
    tokenize, parts = InProcess(encoder._tokenize), (list(texts) for _ in range(1000))
    with closing(stream_to_gpu(tokenize, lambda tokens: tokens, parts)) as found:  # type: ignore[arg-type,return-value,type-var]
        return next(tokens for tokens in found if tokens is not None)  # type: ignore[return-value]


def test_tokens_of_a_process_are_those_of_a_thread() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu")
    here, there = encoder._tokenize(TEXTS), streamed_by_processes(encoder, TEXTS)
    assert [ids.tolist() for ids in there.ids] == [ids.tolist() for ids in here.ids]
    assert there.lengths.tolist() == here.lengths.tolist()


def test_an_error_of_the_tokenizer_in_its_process_comes_through() -> None:
    encoder = HuggingFaceEncoder(str(tiny_model("bert")), device="cpu", max_length=8, on_truncate="error")
    with pytest.raises(ValueError, match="longer than the 8 tokens"):
        streamed_by_processes(encoder, ["word " * 50])


def test_where_no_process_can_start_threads_go_on() -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=FROM_INPUT,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "{'here'}\n1\n", "and no thread is left that would hand a tokenizer over"


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
    said = iter(process.stdout.readline, "")
    assert next(said) == "here\n", "until processes have started"
    assert "elsewhere\n" in said
    family = descendants(process.pid)
    assert workers(process.pid)
    os.killpg(process.pid, number) if code > 0 else process.send_signal(number)

    _, errors = process.communicate(timeout=60)

    assert process.returncode == code
    assert "Traceback" not in errors  # Python may say that it cleaned up after a killed process
    assert seconds_until_gone(family, limit=5) < 2
