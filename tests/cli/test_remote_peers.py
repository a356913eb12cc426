"""--host and what may be at the other end: redirections, proxies, servers that are no host."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.cli.conftest import Ran, run_in
from tests.cli.https_front import Answer, answering
from tests.cli.screen import TIMEOUT_S
from tests.cli.test_remote_host import lines

SECRET = "mc_" + "s" * 43


def tell(home: Path, place: str, *words: str) -> Ran:
    return run_in(home, *words, environ={"MICROCLAW_HOST": place, "MICROCLAW_TOKEN": SECRET})


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
