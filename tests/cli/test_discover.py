"""`microclaw device discover`, on loopback."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.cli.conftest import Run

ON_LOOPBACK = ["device", "discover", "--interface", "127.0.0.1", "--for", "0.2"]


def test_board_on_the_named_subnet_is_shown_with_the_name_the_host_knows(host: dict[str, Any], ask: Run) -> None:
    board = host["boards"][0]
    port = next(transport for transport in board["transports"] if transport.startswith("wasmachine://")).rpartition(
        ":"
    )[2]
    ran = ask("--json", *ON_LOOPBACK, "--subnet", "127.0.0.1/32")  # the host's boards at their own ports, too
    assert (ran.code, ran.err) == (0, "")
    document = json.loads(ran.out)
    assert document["schema"] == "microclaw.discover/1"
    mine = [each for each in document["found"] if each["port"] == int(port)]
    assert [(each["kind"], each["address"], each["known_as"]) for each in mine] == [
        ("wasmachine", "127.0.0.1", board["name"])
    ]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--subnet", "10.0.0.0/8"], 1),
        (["--for", "0"], 2),
        (["--interface", "192.0.2.1"], 1),
    ],
)
def test_what_cannot_be_looked_for_is_said(run: Run, words: list[str], code: int) -> None:
    ran = run("device", "discover", *words)
    assert (ran.code, "next: " in ran.err) == (code, True)
