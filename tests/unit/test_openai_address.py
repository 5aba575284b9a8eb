"""Which addresses are safe to write down, and which key goes where."""

from __future__ import annotations

import pytest

from fusionapp.adapters.openai_compatible.address import OPENAI, Address, address_problems, read_address
from fusionapp.domain.errors import UsageError

SECRET = "sk-secret-0123456789"


def test_openais_key_goes_to_openai_by_itself() -> None:
    assert read_address(OPENAI, None).key_name == "OPENAI_API_KEY"


def test_no_other_server_gets_openais_key_unless_it_is_named() -> None:
    assert read_address("https://api.example.org/v1", None).key_name is None
    assert read_address("https://api.example.org/v1", "OPENAI_API_KEY").key_name == "OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("http://LOCALHOST:8080/v1/", "http://localhost:8080/v1"),
        ("http://localhost:8080/v1/embeddings", "http://localhost:8080/v1"),
        ("https://example.org", "https://example.org"),
        ("http://[::1]:80/V1", "http://[::1]:80/V1"),
    ],
)
def test_an_address_has_one_spelling(given: str, plain: str) -> None:
    assert read_address(given, None).base_url == plain
    assert read_address(given, None).url == f"{plain}/embeddings"


@pytest.mark.parametrize(
    "base_url",
    [
        f"https://user:{SECRET}@example.org/v1",
        f"https://{SECRET}@example.org/v1",
        f"https://example.org/v1?key={SECRET}",
        f"https://example.org/v1#{SECRET}",
    ],
)
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(base_url: str) -> None:
    (line,) = address_problems(base_url, None, allow_http=False)

    assert line.startswith("base_url: must hold no user, password, query or fragment")
    assert SECRET not in line


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "localhost:8080",
        "ftp://example.org",
        "https://",
        "https://[::1",
        "https://a:99999/v1",
        "http://a b/v1",
        "https://exämple.org/v1",
        "https://example.org/v1\n",
    ],
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    (line,) = address_problems(base_url, None, allow_http=False)

    assert line.startswith("base_url: ")


@pytest.mark.parametrize("pasted", [SECRET, "abcdef0123456789", "", "OPENAI KEY", "1KEY"])
def test_a_key_in_place_of_its_name_is_refused_and_not_repeated(pasted: str) -> None:
    (line,) = address_problems(OPENAI, pasted, allow_http=False)

    assert line.startswith("api_key_env: expected the NAME")
    assert SECRET not in line


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "127.9.9.9:8080", "[::1]:9"])
def test_a_key_may_go_to_this_machine_unencrypted(host: str) -> None:
    assert not address_problems(f"http://{host}/v1", "SERVER_KEY", allow_http=False)
    assert read_address(f"http://{host}/v1", "SERVER_KEY").loopback


@pytest.mark.parametrize("host", ["10.0.0.7", "example.org", "localhost.example.org", "api.openai.com"])
def test_a_key_goes_to_another_machine_unencrypted_only_where_that_is_asked_for(host: str) -> None:
    (line,) = address_problems(f"http://{host}/v1", "SERVER_KEY", allow_http=False)

    assert "unencrypted" in line
    assert not address_problems(f"http://{host}/v1", "SERVER_KEY", allow_http=True)
    assert not address_problems(f"https://{host}/v1", "SERVER_KEY", allow_http=False)


def test_without_a_key_plain_http_is_as_good_as_any() -> None:
    assert not address_problems("http://10.0.0.7:8080/v1", None, allow_http=False)


def test_a_key_is_read_without_the_line_end_that_files_put_behind_it() -> None:
    address = Address("https://example.org", "example.org", "SERVER_KEY")

    assert address.read_key({"SERVER_KEY": f"{SECRET}\n"}) == SECRET


@pytest.mark.parametrize("value", ["", "  ", f"{SECRET} two", f"{SECRET}\nX: y", f"{SECRET}é"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_repeated(value: str) -> None:
    address = Address("https://example.org", "example.org", "SERVER_KEY")

    with pytest.raises(UsageError, match="SERVER_KEY") as refused:
        address.read_key({"SERVER_KEY": value})
    assert SECRET not in str(refused.value)


def test_without_a_name_the_environment_is_not_read() -> None:
    assert Address("http://a", "a", None).read_key({"OPENAI_API_KEY": SECRET}) is None
