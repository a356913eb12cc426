"""`microclaw up`: the doors that config.toml names, and at a terminal a link that signs the owner in once."""

from __future__ import annotations

import json
import re
import signal
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from tests.interfaces.cli.conftest import run_here
from tests.interfaces.cli.screen import Screen
from tests.stories.conftest import running_host


def test_up_takes_its_doors_from_the_file_and_says_what_is_off(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "config.toml").write_text('[host]\nlink = "off"\n[gateway]\nport = 0\n[telegram]\n[search]\n')
    with running_host(home) as host:
        assert host.facts["link"] is None
        assert [problem.split(":")[0] for problem in host.facts["problems"]] == ["telegram is off", "web search is off"]
        status = run_here(home, "status", "--json").json
        assert status["problems"] == host.facts["problems"]
        shown = {row["about"]: row["text"] for row in status["screen"]}
        assert shown["telegram"].startswith("off: ")
        assert "127.0.0.1:" in shown["gateway"]
        assert run_here(home, "device", "list", "--all", "--json").json["devices"] == []  # all of none


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
    words = ("up", "--port", "0", "--link", "off", "--die-with-parent")
    with Screen(home, *words) as screen:
        screen.wait_for("Ctrl-C stops it")
        (link,) = re.findall(r"^http://127\.0\.0\.1:\d+/signin#[A-Za-z0-9_-]{43}\r$", screen.shown, re.MULTILINE)
        opened = run_here(home, "-q", "status", "--open")
        assert [sign_in(one) for one in (link.strip(), link.strip(), opened.out.strip())] == [200, 401, 200]
        screen.process.send_signal(signal.SIGINT)
        screen.process.wait(60)
    kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    for secret in (link, opened.out):
        assert secret.strip().partition("#")[2].encode() not in kept
    with Screen(home, *words) as screen:
        screen.wait_for("Ctrl-C stops it")
        assert "signin#" not in screen.shown
