"""One server: a request, repeated while that may help, and its answer."""

from __future__ import annotations

import logging
import random
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from fusionapp.adapters.openai_compatible.address import Address
from fusionapp.adapters.openai_compatible.failures import FaultError, RefusedError, failure
from fusionapp.adapters.openai_compatible.waiting import LONGEST, backoff
from fusionapp.domain.errors import UpstreamError

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

_ERROR_BYTES = 1 << 16
T = TypeVar("T")


class EmbeddingServer:
    """Posts requests over a few connections that are kept open; threads may share it.

    Args:
        address: where, and which key.
        timeout: seconds to connect, to wait for an answer to begin, and for the whole of its body.
        retries: how often a request that failed is repeated.
        connections: most connections at once.
        sleep: waits so many seconds; by default until then or until the job is stopped.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout: float,
        retries: int,
        connections: int,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._retries = retries
        self._connections = connections
        self._sleep = sleep
        self._lock = Lock()
        self._opened: tuple[httpx2.Client, str | None] | None = None
        self._finalizer: weakref.finalize[[], EmbeddingServer] | None = None

    def ask(self, body: bytes, limit: int, read: Callable[[bytes], T], stop: Event) -> T:
        """Post a body and read the answer.

        Args:
            body: JSON.
            limit: most bytes of an answer.
            read: makes sense of an answer; a FaultError of its own is a reason to ask again.
            stop: when it is set, nothing is asked any more.

        Raises:
            RefusedError: the server will never answer this request.
            UpstreamError: another failure that repeating did not or would not mend.
            UsageError: the key is not in the environment.
        """
        for attempt in range(1, self._retries + 2):
            if stop.is_set():
                raise UpstreamError(f"{self._address.base_url}: not asked, since another request failed")
            try:
                return read(self._post(body, limit))
            except FaultError as fault:
                wait = fault.wait if fault.wait is not None else backoff(attempt, random.random())  # noqa: S311
                if attempt > self._retries or wait > LONGEST:
                    raise self._given_up(fault, attempt, wait) from fault
                level = logging.WARNING if wait >= 10 else logging.INFO
                logger.log(level, "%s: %s; asking again in %.1f s", self._address.base_url, fault, wait)
                (self._sleep or stop.wait)(wait)
            except RefusedError as refused:
                raise RefusedError(f"{self._address.base_url}: {refused}") from refused
            except UpstreamError as error:
                raise UpstreamError(f"{self._address.base_url}: {error}") from error
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._opened = self._finalizer = None

    def _given_up(self, fault: FaultError, attempt: int, wait: float) -> UpstreamError:
        why = f"gave up after {attempt} attempts" if wait <= LONGEST else f"asks to wait {wait:.0f} s"
        return UpstreamError(
            f"{self._address.base_url}: {fault} ({why}); what is durable stays: run the same command again later"
        )

    def _post(self, body: bytes, limit: int) -> bytes:
        import httpx2

        client, key = self._open()
        try:
            with client.stream("POST", self._address.url, content=body) as response:
                if response.is_success:
                    return self._read(response, limit)
                said = self._read(response, _ERROR_BYTES, cut=True)
                headers = dict(response.headers)
                status = response.status_code
        except httpx2.TimeoutException as error:
            raise FaultError(f"no answer within {self._timeout:g} s") from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise FaultError(f"the connection failed: {error or type(error).__name__}") from error
        if key is not None:  # a server may repeat what it was sent
            said = said.replace(key.encode(), b"[key]")
            headers = {name: value.replace(key, "[key]") for name, value in headers.items()}
        raise failure(status, headers, said, self._address.url, datetime.now(UTC))

    def _read(self, response: httpx2.Response, limit: int, cut: bool = False) -> bytes:
        """A body of at most `limit` bytes, within the timeout as a whole, however it trickles in."""
        content = bytearray()
        deadline = monotonic() + self._timeout
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > limit and cut:
                break
            if len(content) > limit:
                raise UpstreamError(
                    f"the answer has over {limit:,} bytes, more than these embeddings can have"
                )
            if monotonic() > deadline:
                raise FaultError(f"no whole answer within {self._timeout:g} s")
        return bytes(content[:limit])

    def _open(self) -> tuple[httpx2.Client, str | None]:
        with self._lock:
            if self._opened is None:
                import httpx2

                key = self._address.read_key()
                headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
                if key is not None:
                    headers["Authorization"] = f"Bearer {key}"
                client = httpx2.Client(
                    headers=headers,
                    timeout=self._timeout,
                    limits=httpx2.Limits(max_connections=self._connections),
                    follow_redirects=False,
                    trust_env=not self._address.loopback,  # no proxy stands between this machine and itself
                )
                # Whoever forgets to close leaves no socket open.
                self._finalizer = weakref.finalize(self, client.close)
                self._opened = (client, key)
            return self._opened
