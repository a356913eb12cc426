"""The host and the token that a command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from microclaw.errors import ConfigError
from microclaw.host.operations.client import Client
from microclaw.host.operations.host_address import HostAddress, named_host, token_for


def address(text: str) -> HostAddress:
    found = named_host(text, {})
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "shown", "port"),
    [
        ("https://house.example", "https://house.example", 443),
        ("https://House.Example:8443/", "https://house.example:8443", 8443),
        ("https://house.example/claw/", "https://house.example/claw", 443),
        ("http://127.0.0.1", "http://127.0.0.1", 80),
        ("http://[::1]:8080", "http://[::1]:8080", 8080),
    ],
)
def test_an_address_is_read_and_shown_in_one_form(text: str, shown: str, port: int) -> None:
    found = address(text)
    assert (str(found), found.port) == (shown, port)


def test_what_is_no_address_or_a_token_in_it_is_refused_and_http_is_for_loopback_alone() -> None:
    for text in (
        *("house.example", "localhost:8080", "nowhere", "ftp://x", "https://", "https://x:0", "https://x:99999"),
        *("https://x:y", "https://x?a=1", "https://x#a", "https://x/a b", "https://x/\r\nHost: y", "https://x\\y"),
        *("https://[::1", "https://a b"),
    ):
        with pytest.raises(ConfigError) as caught:
            named_host(text, {})
        assert "https://" in str(caught.value.next_step), text
    for name in ("house.example", "192.168.1.20", "0.0.0.0", "[fe80::1]", "localhost.example"):
        with pytest.raises(ConfigError) as caught:
            named_host(f"http://{name}:8080", {})
        assert "ssh -N -L 8080:127.0.0.1:8080" in str(caught.value.next_step)
    with pytest.raises(ConfigError) as caught:
        named_host("https://me:mc_secret@house.example", {})
    assert "mc_secret" not in f"{caught.value.message} {caught.value.next_step}"


def test_the_option_is_stronger_than_the_variable_and_local_is_this_machine() -> None:
    environ = {"MICROCLAW_HOST": "https://one.example"}
    assert str(named_host("https://two.example", environ)) == "https://two.example"
    assert str(named_host(None, environ)) == "https://one.example"
    assert named_host("local", environ) is named_host(None, {"MICROCLAW_HOST": " "}) is None


A = '"https://a.example" = '


def write_tokens(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "hosts.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    path.chmod(mode)
    return path


def test_the_file_gives_a_host_its_own_token_and_the_variable_is_stronger(tmp_path: Path) -> None:
    write_tokens(tmp_path, '"https://a.example/" = "mc_a"\n"https://b.example:443" = "mc_b"\n"nonsense" = "mc_c"\n')
    assert token_for(address("https://A.example"), tmp_path, {}).secret == "mc_a"
    found = token_for(address("https://b.example"), tmp_path, {})
    assert (found.secret, "mc_b" in repr(found)) == ("mc_b", False)
    assert token_for(address("https://b.example"), tmp_path, {"MICROCLAW_TOKEN": "mc_v"}).secret == "mc_v"
    with pytest.raises(ConfigError):
        token_for(address("https://b.example:8443"), tmp_path, {})


def test_a_file_that_others_can_open_or_with_a_mistake_is_named_and_not_quoted(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o666):
        write_tokens(tmp_path, f'{A}"mc_a"\n', mode)
        with pytest.raises(ConfigError, match="is not private"):
            token_for(address("https://a.example"), tmp_path, {})
    for text in (f"{A}5", f'{A}""', "https://a.example = mc_secret", "\udc80"):
        path = write_tokens(tmp_path, text)
        with pytest.raises(ConfigError) as caught:
            token_for(address("https://a.example"), tmp_path, {})
        assert (str(path) in caught.value.message, "mc_secret" in caught.value.message) == (True, False)


def test_what_cannot_be_a_token_is_sent_nowhere(tmp_path: Path) -> None:
    for secret in ("mc_a b", "mc_a\r\nX: y", "mc_ü", "x" * 600):
        with pytest.raises(ConfigError):
            token_for(address("https://a.example"), tmp_path, {"MICROCLAW_TOKEN": secret})
    for place, token in (
        ("house.example", None),
        ("http://house.example", "mc_1"),
        ("https://house.example", "two words"),
        ("local", "mc_1"),
    ):
        with pytest.raises(ConfigError):
            Client(place, token=token)
