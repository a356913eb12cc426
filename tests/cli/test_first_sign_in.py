"""`microclaw up` at a terminal prints a link that signs the owner in: once, and in no log."""

from __future__ import annotations

import json
import re
import signal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.cli.conftest import run_in
from tests.cli.screen import Screen


def sign_in(link: str) -> int:
    address = urlsplit(link)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=60)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/signin/code", json.dumps({"code": address.fragment}), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_first_start_at_a_terminal_prints_a_link_and_later_ones_do_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Screen(home, "up", "--port", "0", "--link", "off", "--die-with-parent") as screen:
        screen.wait_for("Ctrl-C stops it")
        (link,) = re.findall(r"^http://127\.0\.0\.1:\d+/signin#[A-Za-z0-9_-]{43}\r$", screen.shown, re.MULTILINE)
        link = link.strip()
        assert sign_in(link) == 200
        assert sign_in(link) == 401
        opened = run_in(home, "-q", "status", "--open")
        assert (opened.code, sign_in(opened.out.strip())) == (0, 200)
        screen.process.send_signal(signal.SIGINT)
        screen.process.wait(60)
    for secret in (link, opened.out.strip()):
        code = secret.partition("#")[2]
        for file in home.rglob("*"):
            if file.is_file():
                assert code.encode() not in file.read_bytes(), file
    with Screen(home, "up", "--port", "0", "--link", "off", "--die-with-parent") as screen:
        screen.wait_for("Ctrl-C stops it")
        assert "signin#" not in screen.shown
