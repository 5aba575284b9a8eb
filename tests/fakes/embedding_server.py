"""A server of `/v1/embeddings` on loopback: vectors are a hash of the text, and faults happen as scripted."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep
from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

Formats = Literal["both", "ignored", "refused"]
"""What the server does when it is asked for base64: give it, give floats all the same, or refuse."""


@attrs.frozen
class Seen:
    """A request that came in."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        return list(self.body["input"])


@attrs.frozen
class Reply:
    """What goes out: `content` is dumped as JSON unless it is bytes."""

    content: Any
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    delay: float = 0.0
    keep: int | None = None
    """Bytes of the body that are sent before the connection breaks; None sends all."""

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


Fault = Callable[[Reply], Reply]


def vector(text: str, dim: int = 8) -> NDArray[np.float32]:
    """(dim,) float32, the same for the same text wherever it is asked."""
    seed = int.from_bytes(sha256(text.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).standard_normal(dim, dtype=np.float32)


class EmbeddingServer:
    """Answers as an OpenAI-compatible server does, but for the faults in its script.

    Attributes:
        script: what becomes of the next answers, one fault an answer, first come first served.
        always: what becomes of every answer that the script does not speak of.
        seen: the requests that came in.
        busiest: most requests that were in work at once.
    """

    def __init__(
        self,
        dim: int = 8,
        *,
        formats: Formats = "both",
        most_texts: int | None = None,
        most_characters: int | None = None,
        usage: bool = True,
    ) -> None:
        self.script: deque[Fault] = deque()
        self.always: Fault | None = None
        self.seen: list[Seen] = []
        self.busiest = 0
        self._busy = 0
        self._lock = Lock()
        self._dim = dim
        self._formats = formats
        self._most_texts = most_texts
        self._most_characters = most_characters
        self._usage = usage
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.block_on_close = False
        Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def reply(self, request: Seen) -> Reply:
        with self._lock:
            self.seen.append(request)
            fault = self.script.popleft() if self.script else self.always
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        reply = self._answer(request)
        reply = fault(reply) if fault is not None else reply
        sleep(reply.delay)
        with self._lock:
            self._busy -= 1
        return reply

    def _answer(self, request: Seen) -> Reply:
        texts = request.texts
        asked = request.body.get("encoding_format", "float")
        if asked == "base64" and self._formats == "refused":
            return refusal("encoding_format: only float is supported")
        if self._most_texts is not None and len(texts) > self._most_texts:
            return refusal(f"batch size {len(texts)} > maximum allowed batch size {self._most_texts}", 413)
        if self._most_characters is not None and max(map(len, texts)) > self._most_characters:
            return refusal(f"this model's maximum context length is {self._most_characters} characters")
        short = asked == "base64" and self._formats == "both"
        vectors = [vector(text, request.body.get("dimensions", self._dim)) for text in texts]
        items = [
            {"object": "embedding", "index": index, "embedding": _base64(row) if short else row.tolist()}
            for index, row in enumerate(vectors)
        ]
        content = {"object": "list", "data": items, "model": request.body["model"]}
        if self._usage:
            content["usage"] = {"prompt_tokens": sum(len(text.split()) for text in texts)}
        return Reply(content)


@contextmanager
def embedding_server(**settings: Any) -> Iterator[EmbeddingServer]:
    """A server, closed at the end."""
    server = EmbeddingServer(**settings)
    try:
        yield server
    finally:
        server.close()


@cache
def shared_server() -> EmbeddingServer:
    """One server for the whole process, for tests that script nothing."""
    return EmbeddingServer()


def refusal(message: str, status: int = 400, **headers: str) -> Reply:
    """An error as OpenAI words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": message, "type": "invalid_request_error"}}, status, named)


def refuses(message: str, status: int = 400, **headers: str) -> Fault:
    """Answer with an error."""
    return lambda _: refusal(message, status, **headers)


def sends(content: Any) -> Fault:
    """Answer with something else."""
    return lambda reply: attrs.evolve(reply, content=content)


def waits(seconds: float) -> Fault:
    """Answer late."""
    return lambda reply: attrs.evolve(reply, delay=seconds)


def breaks(keep: int = 40) -> Fault:
    """Break the connection after some bytes of the body; fewer than 0 breaks it before the answer."""
    return lambda reply: attrs.evolve(reply, keep=keep)


def items(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Fault:
    """Answer with other items."""
    return lambda reply: attrs.evolve(reply, content={**reply.content, "data": change(reply.content["data"])})


def embedding_of(place: int, embedding: Any) -> Fault:
    """Answer with another embedding in one place."""
    return items(
        lambda data: [{**item, "embedding": embedding} if item["index"] == place else item for item in data]
    )


def _base64(row: NDArray[np.float32]) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def _handler(server: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # headers and body are two packets, and the second would wait 40 ms

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = server.reply(Seen(self.path, headers, json.loads(body)))
            try:
                self._send(reply)
            except (BrokenPipeError, ConnectionResetError):  # the caller did not wait
                self.close_connection = True

        def _send(self, reply: Reply) -> None:
            self.close_connection = reply.keep is not None
            if reply.keep is not None and reply.keep < 0:
                return
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.keep])

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
