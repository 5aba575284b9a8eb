"""Where the server stands, what of it may be written down, and which key it is sent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

import attrs

from fusionapp.domain.errors import UsageError

OPENAI = "https://api.openai.com/v1"
_OPENAI_HOST = "api.openai.com"
_OPENAI_KEY = "OPENAI_API_KEY"
_KEY_NAME = re.compile("[A-Z_][A-Z0-9_]{0,99}")
"""Upper case alone, so that a key that is pasted in place of a name is refused, and never written down."""


@attrs.frozen
class Address:
    """A server that was checked to be safe to write down and to be sent its key.

    Attributes:
        base_url: scheme, host, port and path, without a slash at the end.
        host: its host, in lower case.
        key_name: the environment variable that holds the key; None where no key is sent.
    """

    base_url: str
    host: str
    key_name: str | None

    @property
    def url(self) -> str:
        """Where embeddings are asked for."""
        return f"{self.base_url}/embeddings"

    @property
    def loopback(self) -> bool:
        """Whether the server is this machine."""
        return _is_loopback(self.host)

    def read_key(self, environment: Mapping[str, str] | None = None) -> str | None:
        """The key, from the environment (the process's own by default) and from nowhere else.

        Raises:
            UsageError: the variable is not set, or no header can carry what it holds (which is not repeated).
        """
        if self.key_name is None:
            return None
        key = (os.environ if environment is None else environment).get(self.key_name, "").strip()
        if not key:
            raise UsageError(
                f"api_key_env: the environment variable {self.key_name} is not set; export it with the key of "
                f"{self.host}"
            )
        if not re.fullmatch(r"[\x21-\x7e]+", key):
            raise UsageError(
                f"api_key_env: {self.key_name} holds blanks or characters beyond ASCII, which no key has; "
                "export it again"
            )
        return key


def address_problems(base_url: str, api_key_env: str | None, allow_http: bool) -> list[str]:
    """What is wrong with these settings, one line each, starting with the key; secrets are not repeated."""
    found = []
    if api_key_env is not None and not _KEY_NAME.fullmatch(api_key_env):
        found.append(
            "api_key_env: expected the NAME of an environment variable, in capitals, such as "
            f'"{_OPENAI_KEY}"; the key itself must never stand in a file'
        )
    try:
        parts = urlsplit(base_url)
        _ = parts.port
    except ValueError:
        return [*found, "base_url: cannot be parsed; use an address such as http://localhost:8080/v1"]
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        found.append(
            "base_url: must hold no user, password, query or fragment, which would be written into run "
            "directories; name the environment variable that holds the key in api_key_env"
        )
    elif parts.scheme not in ("http", "https") or not parts.hostname:
        found.append(f"base_url: {base_url!r} is no address; use one such as http://localhost:8080/v1")
    elif not re.fullmatch(r"[\x21-\x7e]+", base_url):
        found.append(
            f"base_url: {base_url!r} holds blanks or characters beyond ASCII; use punycode and %-escapes"
        )
    elif (
        _key_name(parts, api_key_env)
        and parts.scheme == "http"
        and not (allow_http or _is_loopback(parts.hostname))
    ):
        found.append(
            f"base_url: {base_url} would carry the key unencrypted; use https, or set allow_http = true"
        )
    return found


def read_address(base_url: str, api_key_env: str | None) -> Address:
    """The address that settings without problems describe; a last part `embeddings` is not repeated."""
    parts = urlsplit(base_url)
    path = parts.path.rstrip("/").removesuffix("/embeddings")
    plain = urlunsplit((parts.scheme, parts.netloc.lower(), path, "", ""))
    return Address(plain, (parts.hostname or "").lower(), _key_name(parts, api_key_env))


def _key_name(parts: SplitResult, asked: str | None) -> str | None:
    """OpenAI's key goes to OpenAI by itself; any other server gets a key only where it is named for it."""
    return asked or (_OPENAI_KEY if parts.hostname == _OPENAI_HOST else None)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
