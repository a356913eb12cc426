"""`microclaw discover`, on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]
ON_LOOPBACK = ["discover", "--interface", "127.0.0.1", "--for", "0.2"]


def test_board_on_the_named_subnet_is_shown_with_the_name_the_host_knows(host: dict[str, Any], ask: Run) -> None:
    board = host["boards"][0]
    port = next(transport for transport in board["transports"] if transport.startswith("wasmachine://")).rpartition(
        ":"
    )[2]
    for ports in (("--port", port), ()):  # the host's boards are asked at their own ports, too
        ran = ask("--json", *ON_LOOPBACK, "--subnet", "127.0.0.1/32", *ports)
        assert (ran.code, ran.err) == (0, "")
        document = json.loads(ran.out)
        assert document["schema"] == "microclaw.discover/1"
        mine = [each for each in document["found"] if each["port"] == int(port)]
        assert [(each["kind"], each["address"], each["known_as"]) for each in mine] == [
            ("wasmachine", "127.0.0.1", board["name"])
        ]
        assert document["asked"]["subnet"] == "127.0.0.1/32"


def test_nobody_there_says_how_boards_are_found(run: Run) -> None:
    ran = run(*ON_LOOPBACK, "--subnet", "127.0.0.2/32", "--port", "1")
    assert ran.code == 0
    assert "asking 127.0.0.2/32" in ran.out
    assert "no WASMachine board at 127.0.0.2/32, port 1; one that listens elsewhere: --port N" in ran.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--subnet", "10.0.0.0/8"], 1, "error: 10.0.0.0/8 has 16,777,216 addresses"),
        (["--port", "8080"], 2, "--port goes with --subnet"),
        (["--for", "0"], 2, "--for"),
        (["--interface", "192.0.2.1"], 1, "error: cannot ask this network who is there"),
    ],
)
def test_what_cannot_be_looked_for_is_said(run: Run, words: list[str], code: int, said: str) -> None:
    ran = run("discover", *words)
    assert ran.code == code
    assert said in ran.err
    assert "next: " in ran.err
