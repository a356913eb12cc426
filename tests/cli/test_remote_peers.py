"""--host and what may be at the other end: TLS, proxies, older hosts, hosts that are none."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Ran, run_in
from tests.cli.https_front import Answer, answering, tls_front, write_certificate
from tests.cli.screen import TIMEOUT_S
from tests.cli.test_remote_host import lines, run_at

SECRET = "mc_" + "s" * 43


def tell(home: Path, place: str, *words: str, secret: str = SECRET, **variables: str) -> Ran:
    return run_at(home, {"MICROCLAW_HOST": place, "MICROCLAW_TOKEN": secret, **variables}, *words)


@pytest.fixture
def owner(host: dict[str, Any], request: pytest.FixtureRequest) -> str:
    made = run_in(Path(host["home"]), "person", "tokens", "--add", request.node.name[:30].replace("[", " ").rstrip("]"))
    assert made.code == 0, made.err
    return made.out.splitlines()[0]


def test_tls_is_verified_and_an_authority_of_ones_own_is_named(
    host: dict[str, Any], owner: str, tmp_path: Path
) -> None:
    certificate, key = write_certificate(tmp_path, "localhost")
    inner = urlsplit(host["http"]).port
    assert inner is not None
    with tls_front(certificate, key, inner) as port:
        place = f"https://localhost:{port}"
        refused = tell(tmp_path / "h", place, "device", "list", secret=owner)
        assert (refused.code, refused.out) == (1, "")
        trusted = tell(tmp_path / "h", place, "device", "list", secret=owner, SSL_CERT_FILE=str(certificate))
        assert (trusted.code, "virtual-1" in trusted.out) == (0, True), trusted.err
        said = tell(tmp_path / "h", place, "chat", "set pin 6 on", secret=owner, SSL_CERT_FILE=str(certificate))
        assert said.code == 0, said.err
        other = tell(
            tmp_path / "h", f"https://127.0.0.1:{port}", "status", secret=owner, SSL_CERT_FILE=str(certificate)
        )
        assert (other.code, other.out) == (1, "")
    plain = tell(tmp_path / "h", f"https://127.0.0.1:{inner}", "status", secret=owner)
    assert plain.code == 3


def test_a_redirection_is_not_followed_and_the_token_stays(tmp_path: Path) -> None:
    with answering({"": (200, {}, b"{}")}) as elsewhere:
        moved = {"": (302, {"Location": f"{elsewhere.url}/v1/status"}, b"")}
        with answering(moved) as first:
            ran = tell(tmp_path, first.url, "status")
            assert first.asked == [("/v1/status", f"Bearer {SECRET}")]
        assert elsewhere.asked == []
    assert ran.code == 1
    assert SECRET not in ran.err + ran.out


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (502, b"<html>Bad Gateway", 3),
        (403, b"<html>Forbidden", 1),
        (404, b"<html>Not Found", 1),
        (200, b"<html>Welcome", 1),
    ],
)
def test_what_is_no_host_is_told_from_a_host_that_is_away(tmp_path: Path, status: int, body: bytes, code: int) -> None:
    with answering({"": (status, {}, body)}) as peer:
        ran = tell(tmp_path, peer.url, "status")
    assert (ran.code, len(lines(ran))) == (code, 2), ran.err


def test_a_proxy_that_keeps_its_own_name_is_told_what_to_send(host: dict[str, Any], tmp_path: Path) -> None:
    place = urlsplit(host["http"])
    connection = HTTPConnection(str(place.hostname), place.port, timeout=TIMEOUT_S)
    with closing(connection):  # what the host itself says behind such a proxy
        connection.request("GET", "/v1/status", headers={"Host": "house.example"})
        answer = connection.getresponse()
        refusal: Answer = (answer.status, {}, answer.read())
    assert refusal[0] == 403
    with answering({"": refusal}) as proxy:
        ran = tell(tmp_path, proxy.url, "status")
    assert lines(ran)[1] == "next: let the proxy there send the header Host: localhost"
