"""`fusionapp extract` over a server: it dies, it comes back, and nobody learns the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import call, refused
from fakes.embedding_server import EmbeddingServer, Reply, embedding_server, refuses, vector
from small_job import write_rows

KEY = "sk-never-to-be-seen-0123456789"
EXPERIMENT = """
name = "served"

[dataset]
train = "train.csv"
test = "test.csv"

[encoders.served]
adapter = "openai"
model = "m"
base_url = "{base_url}"
api_key_env = "SERVER_KEY"
batch_size = 8
retries = 0

[storage]
shard_rows = 16
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddingServer]:
    monkeypatch.setenv("SERVER_KEY", KEY)
    with embedding_server() as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, server: EmbeddingServer) -> Path:
    write_rows(tmp_path / "train.csv", 60, 1)
    write_rows(tmp_path / "test.csv", 20, 2)
    (tmp_path / "served.toml").write_text(EXPERIMENT.format(base_url=server.base_url), encoding="utf-8")
    return tmp_path


def written(directory: Path) -> Iterator[tuple[Path, bytes]]:
    for path in directory.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


def exported(directory: Path, split: str) -> np.ndarray:
    words = (
        "export",
        "embeddings",
        "runs/served",
        "--encoder",
        "served",
        "--split",
        split,
        "--format",
        "npy",
    )
    call(directory, *words, "--output", f"{split}.npy")
    found: np.ndarray = np.load(directory / f"{split}.npy")
    return found


def texts(directory: Path, split: str) -> list[str]:
    lines = (directory / f"{split}.csv").read_text(encoding="utf-8").splitlines()[1:]
    return [line.rpartition(",")[0] for line in lines]


def test_a_run_whose_server_died_goes_on_where_it_stopped(job: Path, server: EmbeddingServer) -> None:
    def dies(reply: Reply) -> Reply:
        return reply if len(server.seen) <= 6 else refuses("out of order", 500)(reply)

    server.always = dies
    said = refused(job, "extract", "served.toml", code=6)
    half = call(job, "status", "runs/served", "--json").json
    server.always = None
    before = len(server.seen)
    whole = call(job, "extract", "served.toml", "--json").json

    assert f"{server.base_url}: 500: out of order" in said
    assert 0 < half["durable_rows"] < 80
    assert not half["complete"]
    assert whole["complete"]
    assert whole["durable_rows"] == 80
    asked_again = sum(len(seen.texts) for seen in server.seen[before:] if seen.texts != ["a"])
    assert asked_again == 80 - half["durable_rows"]
    for split in ("train", "test"):
        rows = np.stack([vector(text) for text in texts(job, split)])
        assert np.array_equal(exported(job, split), rows)
    assert call(job, "verify", "runs/served", "--json").json["ok"]


def test_the_key_is_written_nowhere_and_printed_nowhere(job: Path, server: EmbeddingServer) -> None:
    server.script.append(refuses(f"unknown key {KEY}", 401))

    failed = call(job, "--debug", "extract", "served.toml", code=6)
    done = call(job, "--debug", "extract", "served.toml")

    assert all(seen.headers["authorization"] == f"Bearer {KEY}" for seen in server.seen)
    assert "Traceback" in failed.err
    assert KEY not in failed.err + failed.out + done.err + done.out
    assert [path for path, content in written(job) if KEY.encode() in content] == []


def test_a_key_in_the_experiment_is_refused_and_not_repeated(job: Path) -> None:
    for key, value in (
        ("api_key_env", KEY),
        ("api_key", KEY),
        ("base_url", f"http://me:{KEY}@127.0.0.1:9/v1"),
    ):
        said = call(job, "extract", "served.toml", "--set", f"encoders.served.{key}={value}", code=2)
        assert f"encoders.served.{key}: " in said.err
        assert KEY not in said.err + said.out
    assert not (job / "runs").exists()


def test_a_plan_names_the_server_and_estimates_tokens(job: Path, server: EmbeddingServer) -> None:
    planned = call(
        job, "extract", "served.toml", "--dry-run", "--set", "encoders.served.dim=8", "--json"
    ).json

    assert f"model: m by {server.base_url}; texts are sent there" in planned["plan"][0]["choices"]
    assert planned["plan"][0]["tokens"] > 0
    assert server.seen == []


def test_texts_that_the_server_refuses_are_left_out_and_told(job: Path) -> None:
    with embedding_server(most_characters=60) as small:
        with (job / "train.csv").open("a", encoding="utf-8") as file:
            file.write(f"{'long ' * 20},joy\n")
        report = call(
            job,
            "extract",
            "served.toml",
            "--json",
            "--set",
            f"encoders.served.base_url={small.base_url}",
            code=5,
        )

    assert report.json["complete"]
    (quarantined,) = report.json["quarantined"]
    assert quarantined["row"] == 60
    assert "maximum context length is 60 characters" in quarantined["reason"]
    assert "1 text: refused by" in report.err
